"""A local server that speaks as much of the Hugging Face Hub's protocol as its clients need.

Repositories are folders, `models/OWNER/NAME` and `datasets/OWNER/NAME`; other revisions than `main` stand beside them
as `NAME@REVISION`. What the server does wrong on purpose is set in `gated`, `cut_once` and `cut_always`.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
UPLOAD = re.compile(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main")
AUTH_CHECK = re.compile(r"/api/models/[^/]+/[^/]+/auth-check(/write)?")
API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")


class HubServer(ThreadingHTTPServer):
    """Serves the repositories under `root` on the loopback."""

    daemon_threads = True

    def __init__(self, root):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = Path(root)
        self.gated = set()
        self.cut_once = set()
        self.cut_always = set()
        self.requests = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"

    def repository(self, kind, name, revision):
        """The folder and commit of a repository; a KeyError with the hub's error code if there is none."""
        folder = self.root / kind / name
        if not folder.is_dir():
            raise KeyError("RepoNotFound")
        commits = {commit_of(kind, name, "main"): folder, "main": folder}
        for other in folder.parent.glob(f"{folder.name}@*"):
            branch = other.name.partition("@")[2]
            commits |= {branch: other, commit_of(kind, name, branch): other}
        if revision not in commits:
            raise KeyError("RevisionNotFound")
        branch = commits[revision].name.partition("@")[2] or "main"
        return commits[revision], commit_of(kind, name, branch)


def commit_of(kind, name, branch):
    return hashlib.sha1(f"{kind}/{name}@{branch}".encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of files, and the few calls of the API that downloads and uploads make."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    do_HEAD = do_POST = do_GET

    def upload(self, path, body):
        """Repositories are made, and files committed, by whoever shows a token."""
        if "Authorization" not in self.headers:
            return self.reply(401, b"", {"X-Error-Message": "Invalid username or password."})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            (self.server.root / "models" / name).mkdir(parents=True, exist_ok=True)
            return self.reply_json({"url": f"{self.server.endpoint}/{name}", "name": name})
        name, call = UPLOAD.fullmatch(path).groups()
        if call == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]
            return self.reply_json({"files": modes})
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                file = self.server.root / "models" / name / entry["value"]["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(base64.b64decode(entry["value"]["content"]))
        commit = commit_of("models", name, "main")
        url = f"{self.server.endpoint}/{name}/commit/{commit}"
        return self.reply_json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    def answer(self):
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(url.path)
        self.server.requests.append(f"{self.command} {path}")
        try:
            if match := RESOLVE.fullmatch(path):
                self.file("datasets" if match[1] else "models", match[2], unquote(match[3]), match[4])
            elif match := API.fullmatch(path):
                self.api(*match.groups(), parse_qs(url.query), body.decode())
            elif match := AUTH_CHECK.fullmatch(path):
                self.reply(200 if "Authorization" in self.headers else 401, b"")
            elif path == "/api/repos/create" or UPLOAD.fullmatch(path):
                self.upload(path, body)
            else:
                self.reply(404, b"")
        except KeyError as missing:
            self.reply(404, b"", {"X-Error-Code": missing.args[0], "X-Error-Message": missing.args[0]})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def api(self, kind, name, call, revision, path, query, body):
        folder, commit = self.server.repository(kind, name, revision or "main")
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        if call == "tree":
            entries = [*folder.rglob("*")] if "recursive" in query else [*(folder / (path or "")).iterdir()]
            self.reply_json([entry(folder, each) for each in sorted(entries)])
        elif call == "paths-info":
            wanted = parse_qs(body).get("paths") or json.loads(body)["paths"]
            self.reply_json([entry(folder, folder / each) for each in wanted if (folder / each).exists()])
        else:
            siblings = [{"rfilename": file.relative_to(folder).as_posix()} for file in files]
            gated = "manual" if name in self.server.gated else False
            about = {"_id": commit, "id": name, "modelId": name, "sha": commit, "private": False, "gated": gated}
            self.reply_json(about | {"siblings": siblings, "tags": [], "downloads": 0, "likes": 0})

    def file(self, kind, name, revision, path):
        folder, commit = self.server.repository(kind, name, revision)
        if name in self.server.gated and "Authorization" not in self.headers:
            code = {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to model {name} is restricted."}
            return self.reply(401, b"", code)
        if not (folder / path).is_file():
            raise KeyError("EntryNotFound")
        content = (folder / path).read_bytes()
        start, end = 0, len(content)
        etag = hashlib.sha256(content).hexdigest() if path.endswith((".safetensors", ".bin")) else digest(content)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        status = 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end, status = int(asked[1]), int(asked[2] or end - 1) + 1, 206
            headers["Content-Range"] = f"bytes {start}-{min(end, len(content)) - 1}/{len(content)}"
        return self.reply(status, content[start:end], headers, cut=self.command == "GET" and self.is_cut(name, path))

    def is_cut(self, name, path):
        once = f"{name}/{path}" in self.server.cut_once
        self.server.cut_once.discard(f"{name}/{path}")
        return once or f"{name}/{path}" in self.server.cut_always

    def reply_json(self, value):
        self.reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def reply(self, status, content, headers=None, cut=False):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    def log_message(self, *_):
        pass


def entry(folder, path):
    about = {"path": path.relative_to(folder).as_posix(), "type": "directory" if path.is_dir() else "file"}
    content = b"" if path.is_dir() else path.read_bytes()
    return about | {"oid": digest(content), "size": len(content)}


def digest(content):
    return hashlib.sha1(content).hexdigest()
