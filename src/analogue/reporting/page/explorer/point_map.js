// Points on a plane, drawn by the graphics card in one call; without one, by the browser's own means.

const SHAPES = ["circle", "square", "diamond", "up", "down", "plus", "bar", "cross", "ring"];
const VERTEX = `
attribute vec2 place; attribute vec4 colour; attribute vec2 look;
uniform vec2 scale, shift; uniform float ratio;
varying vec4 ink; varying float shape, pixels;
void main() {
  gl_Position = vec4(place * scale + shift, 0.0, 1.0);
  gl_PointSize = pixels = look.x * ratio; ink = colour; shape = look.y;
}`;
const FRAGMENT = `
precision mediump float;
varying vec4 ink; varying float shape, pixels;
void main() {
  vec2 p = gl_PointCoord * 2.0 - 1.0, q = abs(p);
  float far = length(p) * pixels * 0.5, radius = pixels * 0.5;
  bool inside = shape < 0.5 ? dot(p, p) <= 1.0 : shape < 1.5 ? max(q.x, q.y) <= 0.85 : shape < 2.5 ? q.x + q.y <= 1.0
    : shape < 3.5 ? p.y <= 0.8 && q.x <= (p.y + 1.0) * 0.5 : shape < 4.5 ? p.y >= -0.8 && q.x <= (1.0 - p.y) * 0.5
    : shape < 5.5 ? min(q.x, q.y) < 0.3 : shape < 6.5 ? q.y < 0.4 : shape < 7.5 ? abs(q.x - q.y) < 0.35
    : far > radius - 3.0;
  if (!inside) discard;
  float alpha = ink.a;
  if (shape < 0.5 || shape > 7.5) alpha *= clamp(radius - far, 0.0, 1.0);
  if (shape > 7.5) alpha *= clamp(far - radius + 3.0, 0.0, 1.0);
  gl_FragColor = vec4(ink.rgb * alpha, alpha);
}`;

class PointMap {
  // `places` are x, y of every row. `heard` has point(row, x, y), leave(), choose(row), lasso(rows) and moved().
  constructor(frame, places, heard) {
    Object.assign(this, { frame, places, heard, n: places.length / 2, pointers: new Map(), lassoing: false, groups: [] });
    this.canvas = element("canvas", { tabIndex: 0 });
    this.outline = drawn("path", { fill: "rgba(28,35,48,.12)", stroke: INK, "stroke-dasharray": "4 3" });
    frame.replaceChildren(this.canvas, drawn("svg", { class: "outline", "aria-hidden": "true" }, this.outline));
    this.gl = this.canvas.getContext("webgl", { antialias: false, premultipliedAlpha: true });
    if (this.gl) this.prepare(); else this.plain = this.canvas.getContext("2d");
    this.low = [Infinity, Infinity];
    const high = [-Infinity, -Infinity];
    for (let i = 0; i < places.length; i++) {
      this.low[i & 1] = Math.min(this.low[i & 1], places[i]);
      high[i & 1] = Math.max(high[i & 1], places[i]);
    }
    this.span = high.map((value, axis) => Math.max(value - this.low[axis], 1e-9));
    this.whole();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(frame);
    this.resize();
  }

  prepare() {
    const { gl } = this, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    this.inputs = [["place", 2], ["colour", 4], ["look", 2]].map(([name, size]) => [gl.getAttribLocation(program, name), size]);
    [this.scale, this.shift, this.ratio] = ["scale", "shift", "ratio"].map(name => gl.getUniformLocation(program, name));
    for (const [at] of this.inputs) gl.enableVertexAttribArray(at);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  // Points from the lowest to the topmost: each group has rows, and of a row its colour [r, g, b], size and shape.
  paint(groups) {
    this.points = this.upload(groups, this.points);
    this.draw();
  }

  // What stands out: drawn over the points.
  mark(groups) {
    this.marks = this.upload(groups, this.marks);
    this.draw();
  }

  upload(groups, old) {
    const n = groups.reduce((sum, { rows }) => sum + rows.length, 0), made = new Float32Array(8 * n);
    let at = 0;
    for (const { rows, colour, size, shape, alpha = 1 } of groups)
      for (const row of rows) {
        const [red, green, blue] = typeof colour === "function" ? colour(row) : colour;
        made.set([this.places[2 * row], this.places[2 * row + 1], red / 255, green / 255, blue / 255, alpha, size, SHAPES.indexOf(shape)], at);
        at += 8;
      }
    if (!this.gl) return { n, made };
    const buffer = old?.buffer ?? this.gl.createBuffer();
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, made, this.gl.STATIC_DRAW);
    return { n, buffer };
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.frame, ratio = window.devicePixelRatio || 1;
    if (!width || !height) return;
    Object.assign(this, { width, height });
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    this.paintNow();
    this.heard.moved();
  }

  draw() {
    this.asked ??= requestAnimationFrame(() => { this.asked = undefined; this.paintNow(); });
  }

  // Pixels of the frame from places: all points within a margin, then what zooming and panning make of them.
  transform() {
    return [0, 1].map(axis => {
      const size = (axis ? this.height : this.width) - 28, turn = axis ? -1 : 1;
      const fit = turn * size / this.span[axis], start = 14 + (axis ? size : 0) - fit * this.low[axis];
      return [fit * this.zoom, start * this.zoom + this.pan[axis]];
    });
  }

  position(row) {
    const [[sx, tx], [sy, ty]] = this.transform();
    return [this.places[2 * row] * sx + tx, this.places[2 * row + 1] * sy + ty];
  }

  paintNow() {
    const [[sx, tx], [sy, ty]] = this.transform(), ratio = this.canvas.width / this.width, { gl, plain } = this;
    if (plain) {
      plain.setTransform(ratio, 0, 0, ratio, 0, 0);
      plain.clearRect(0, 0, this.width, this.height);
      for (const { n, made } of [this.points, this.marks].filter(Boolean))
        for (let at = 0; at < 8 * n; at += 8) {
          const size = made[at + 6], [x, y] = [made[at] * sx + tx - size / 2, made[at + 1] * sy + ty - size / 2];
          plain.fillStyle = plain.strokeStyle = `rgba(${made[at + 2] * 255},${made[at + 3] * 255},${made[at + 4] * 255},${made[at + 5]})`;
          if (SHAPES[made[at + 7]] === "ring") plain.strokeRect(x, y, size, size); else plain.fillRect(x, y, size, size);
        }
      return;
    }
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(this.scale, 2 * sx / this.width, -2 * sy / this.height);
    gl.uniform2f(this.shift, 2 * tx / this.width - 1, 1 - 2 * ty / this.height);
    gl.uniform1f(this.ratio, ratio);
    for (const each of [this.points, this.marks].filter(Boolean)) {
      gl.bindBuffer(gl.ARRAY_BUFFER, each.buffer);
      let start = 0;
      for (const [at, size] of this.inputs) {
        gl.vertexAttribPointer(at, size, gl.FLOAT, false, 32, start);
        start += 4 * size;
      }
      gl.drawArrays(gl.POINTS, 0, each.n);
    }
  }

  nearest(x, y, within = 12) {
    const [[sx, tx], [sy, ty]] = this.transform();
    let found = -1, least = within ** 2;
    for (let row = 0; row < this.n; row++) {
      const far = (this.places[2 * row] * sx + tx - x) ** 2 + (this.places[2 * row + 1] * sy + ty - y) ** 2;
      if (far < least) [found, least] = [row, far];
    }
    return found;
  }

  within(outline) {
    const found = [];
    for (let row = 0; row < this.n; row++) {
      const [x, y] = this.position(row);
      let inside = false;
      for (let i = 0, j = outline.length - 1; i < outline.length; j = i++) {
        const [[x1, y1], [x2, y2]] = [outline[i], outline[j]];
        if (y1 > y !== y2 > y && x < (x2 - x1) * (y - y1) / (y2 - y1) + x1) inside = !inside;
      }
      if (inside) found.push(row);
    }
    return found;
  }

  whole() { this.move(1, [0, 0]); }

  zoomBy(factor, [x, y] = [this.width / 2, this.height / 2]) {
    const zoom = Math.min(200, Math.max(0.5, this.zoom * factor)), by = zoom / this.zoom;
    this.move(zoom, [x - (x - this.pan[0]) * by, y - (y - this.pan[1]) * by]);
  }

  move(zoom, pan) {
    Object.assign(this, { zoom, pan });
    if (!this.width) return;
    this.draw();
    this.heard.moved();
  }

  listen() {
    const { canvas, heard, pointers } = this, at = event => [event.offsetX, event.offsetY];
    let start = null, outline = null;
    canvas.addEventListener("pointerdown", event => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, at(event));
      start = pointers.size === 1 ? at(event) : null;
      outline = this.lassoing && start ? [start] : null;
    });
    canvas.addEventListener("pointermove", event => {
      const before = pointers.get(event.pointerId), now = at(event);
      if (!before) {
        const row = this.nearest(...now);
        return row < 0 ? heard.leave() : heard.point(row, event.clientX, event.clientY);
      }
      if (start && Math.hypot(now[0] - start[0], now[1] - start[1]) > 4) start = null;
      if (outline) outline.push(now);
      if (outline) this.outline.setAttribute("d", `M${outline.map(each => each.join(" ")).join("L")}Z`);
      else if (!start && pointers.size === 1) this.move(this.zoom, this.pan.map((value, axis) => value + now[axis] - before[axis]));
      else if (pointers.size === 2) {
        const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
        this.zoomBy(Math.hypot(now[0] - other[0], now[1] - other[1]) / (Math.hypot(before[0] - other[0], before[1] - other[1]) || 1), other);
      }
      pointers.set(event.pointerId, now);
    });
    const end = event => {
      pointers.delete(event.pointerId);
      this.outline.setAttribute("d", "");
      if (event.type === "pointerup" && start) {
        const row = this.nearest(...at(event));
        if (row >= 0) heard.choose(row);
      } else if (event.type === "pointerup" && outline) heard.lasso(this.within(outline));
      start = outline = null;
    };
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, end);
    canvas.addEventListener("pointerleave", () => heard.leave());
    canvas.addEventListener("wheel", event => {
      event.preventDefault();
      this.zoomBy(1.0015 ** -event.deltaY, at(event));
    }, { passive: false });
    canvas.addEventListener("keydown", event => {
      const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
      if (step) this.move(this.zoom, this.pan.map((value, axis) => value + step[axis]));
      else if (event.key === "+" || event.key === "=") this.zoomBy(1.5);
      else if (event.key === "-") this.zoomBy(1 / 1.5);
      else if (event.key === "0") this.whole();
      else return;
      event.preventDefault();
    });
  }
}
