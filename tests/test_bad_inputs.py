"""Bad inputs to every entry point: each ends in one sentence that names the key and the value, and quickly.

The entry points run in this process: the command line is composed as Hydra composes it, and the job is run as far as it
gets. What needs a process of its own (signals, pipes) stands in `tests/cli/test_endings.py`.
"""

import os
import shutil
import signal
from pathlib import Path

import pytest

from analogue.cli.compare import run_comparison
from analogue.cli.composition import composition_error, empty_sweep, listed_values
from analogue.cli.conf import COMPARE, TRAIN_SAE, UNIVERSALITY
from analogue.cli.report import main as report
from analogue.cli.run import quoted_values
from analogue.cli.train_sae import train_saes
from analogue.cli.universality import run_universality
from analogue.embedded import locate
from analogue.errors import UserError

LONG = "x" * 5000
BIG = 10**30
COMPARE_SMALL = ["data.n_sequences=4", "data.seq_len=32", "null.n=9", "metrics=[rsa]", "logger=none", "cache=off"]
COMPARE_SMALL += ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
TRAIN_SMALL = ["n_tokens=512", "batch_tokens=256", "seeds=[0]", "expansion_factor=[2]", "evaluation.n_tokens=256"]
TRAIN_SMALL += ["logger=none", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "data.seq_len=32"]
UNIVERSALITY_SMALL = [*COMPARE_SMALL, "data.n_sequences=12", "experiment=layers", "vary.layer=[3,4]"]
UNIVERSALITY_SMALL += ["clusters.n_draws=9", "clusters.n_resamples=0", "clusters.n_null=0"]
NOT_WHOLE = ("1.5", "x", "[1]", "{}", "nan", "inf", "true", "null")
NO_SEED = ("-1", "1.5", "x", "[1]", str(2**64), str(BIG), "null")
NO_COUNT = ("0", "-1", "1.5", "x", "nan", "[1]", str(BIG))
NO_FRACTION = ("-0.1", "1.1", "nan", "inf", "x", "[1]", "null")
NO_PATH = (LONG, "a/" * 3000 + "b", "LOOP/x", "DANGLING", "nowhere", '"a\\u0000b"', "FIFO")


def of(key, values):
    return [f"{key}={value}" for value in values]


BAD_COMPARE = [
    *of("layer_a", ("17", "-1", "-9", "6", str(BIG), *NOT_WHOLE)),
    *of("layer_b", ("12", "-1")),
    *of("seed", NO_SEED),
    *of("data.n_sequences", NO_COUNT),
    *of("data.seq_len", ("1", *NO_COUNT)),
    *of("data.batch_size", NO_COUNT),
    *of("data.exclude_outliers", ("0", "0.5", "-1", "nan", "inf", "x", "[1]")),
    *of("data.path", (*NO_PATH, "x.csv", "x.jsonl", "embedded:nothing.txt", "", "SAES", "BAD.jsonl", "EMPTY.jsonl")),
    *of("data.column", ("nothing", LONG)),
    *of("data.shuffle_seed", ("-1", str(2**64), "x", "1.5")),
    *of("filters.top_tokens", NO_COUNT),
    *of("filters.minimum_firing_count", ("-1", "1.5", "x", "nan", "[1]", str(BIG))),
    *of("filters.minimum_correlation", ("-1.1", "1.1", "nan", "inf", "x", "[1]")),
    *of("filters.maximum_q_value", ("-0.1", "1.1", "nan", "x", "[1]")),
    *of("filters.one_to_one", ("worst", "1", "true", "[best]")),
    *of("filters.non_concept", ("some", "null", "1")),
    *of("filters.non_concept_tokens", ("[[1]]", "[null]", "{}", "[{a:1}]")),
    *of("filters.concept_tokens", ("x", "null", "[true]")),
    *of("null.n", NO_COUNT),
    *of("null.kinds", ("[]", "[shuffle,shuffle]", "[x]", "[null]", "[1]", "null", "{}")),
    *of("null.pooled", ("x", "null")),
    *of("concepts.n", NO_COUNT),
    *of("+concepts.keywords.Weather", ("[]", "['']", "[[rain]]", "[null]", "null", "{}")),
    *of("cache.max_gb", ("nan", "inf", "-1", "x", "[1]", "null")),
    *of(
        "metrics",
        ("[]", "[svca]", "[1]", "[null]", "[[rsa]]", "null", "[{a:1}]", "[{_target_:nothing.x}]"),
    ),
    *of("metrics_on", ("[]", "[x]", "[decoder,decoder]", "null", "[1]")),
    *of("decoder_rows", ("x", "null", "1", "[unit]")),
    *of("consistency_threshold", ("-1.1", "1.1", "nan", "x", "[1]")),
    *of("alignment", ("x", "null")),
    *of("alignment.aggregation", ("x", "null", "1")),
    *of("matching", ("x", "null")),
    *of("matching.direction", ("x", "null", "1", "[a_to_b]")),
    *of("+matching.function.k", ("0", "-1", "x")),
    *of("layers_per_pass", ("0", "-1", "1.5", "x", "null", "[1]")),
    *of("model_a.name", (*NO_PATH, "", "embedded:nothing", "a/b/c", "SAES", "EMPTY", "../x", "a b")),
    *of("model_a.dtype", ("float8", "int32", "x", "null", "1")),
    *of("model_a.hook", ("x", "1", "[resid_post]", "mlp_outt")),
    *of("model_a.randomize", ("x", "1", "true", "[weights]")),
    *of("model_a.randomize_seed", ("-1", "1.5", "x", str(2**64), str(BIG), "null")),
    *of("model_a.gguf_file", ("nothing.gguf", LONG)),
    *of("sae_a.path", (*NO_PATH, "", "embedded:nothing", "EMPTY", "MODEL", "LIES:k_zero", "a/b/c/d", "x:y")),
    *of("sae_a.dtype", ("float8", "int8", "x", "null", "1")),
    *of("sae_a.before_topk", ("x", "null")),
    *of("trainer.precision", ("bf16-true", "16-true", "transformer-engine", "x", "64", "1")),
    *of("trainer.accelerator", ("tpu", "x", "1", "cuda:9")),
    *of("trainer.devices", ("0", "-2", "9999", "x", "[7]")),
    *of("trainer.strategy", ("ddp_spawn", "ddp_fork", "ddp_notebook", "x", "fsdp", "1")),
    *of("+trainer.num_nodes", ("0", "-1", "2", "x")),
    *of("+trainer.limit_test_batches", ("1", "0.5", "0", "-1", "x")),
    *of("+trainer.fast_dev_run", ("true", "2")),
    *of("+trainer.overfit_batches", ("1", "0.5")),
    *of("+trainer.nothing", ("1",)),
    *of("layr_a", ("1",)),
    *of("+layr_a", ("1",)),
    *of("+data.nothing", ("1",)),
    *of("model_a", ("nothing", "null")),
    *of("experiment", ("nothing",)),
    *of("sae_a", ("nothing", "null")),
    *of("seeds", ("nothing",)),
    "sweep=paper",
    "~layer_a",
    "~data.path",
    "~model_a",
    "layer_a=${layer_c}",
    "layer_a=${oc.env:NO_SUCH_VARIABLE}",
    "layer_a=[1",
    "layer_a",
    "=3",
    "data.path=[a,b]",
]
BAD_TRAINING = [
    *of("layers", ("[]", "[99]", "[-1]", "[3,3]", "[x]", "[1.5]", "null", "[[3]]", f"[{BIG}]")),
    *of("seeds", ("[]", "[-1]", "[0,0]", "[x]", f"[{2**64}]", f"[{BIG}]", "null")),
    *of("expansion_factor", ("[]", "[0]", "[-1]", "[2,2]", "[x]", "[1000000000]", "[100000]", "[1.5]", "null")),
    *of("n_tokens", ("0", "-1", "1", "x", "1.5", "nan", "null", str(BIG))),
    *of("batch_tokens", ("0", "-1", "x", "1.5", "1000000", str(BIG))),
    *of("dead_after_tokens", ("0", "-1", "x", "1.5")),
    *of("seed", NO_SEED),
    *of("optimiser.learning_rate", ("0", "-1", "nan", "inf", "1e-320", "1e300", "x", "[1]")),
    *of("optimiser.warm_up_fraction", NO_FRACTION),
    *of("optimiser.decay_fraction", NO_FRACTION),
    *of("optimiser.sparsity_warm_up_fraction", NO_FRACTION),
    *of("optimiser.function._target_", ("nothing.x", "math.sqrt", "1")),
    *of("buffer.tokens", ("-1", "x", "1.5", str(BIG), "1000000000000")),
    *of("buffer.sequences_per_pass", NO_COUNT),
    *of("evaluation.every_steps", ("0", "-1", "1.5", "x")),
    *of("evaluation.n_tokens", ("0", "-1", "1.5", "x")),
    *of("evaluation.n_sequences", ("0", "-1", "1.5", "x")),
    *of("checkpoints.every_steps", ("0", "-1", "1.5", "x")),
    *of("checkpoints.keep", ("0", "-1", "1.5", "x")),
    *of("data.path", (*NO_PATH, "x.csv", "embedded:nothing.txt", "", "BAD.jsonl", "EMPTY.jsonl", "SURROGATE.jsonl")),
    *of("data.held_out_path", (*NO_PATH[:6], "x.csv", "")),
    *of("data.seq_len", ("0", "1", "-1", "1.5", "x")),
    *of("data.exclude_outliers", ("0", "1", "-1", "nan", "inf", "x")),
    *of("data.activations", ("x", "null")),
    *of("data.shuffle_seed", ("-1", str(2**64))),
    *of("model.randomize_seed", ("-1", str(2**64))),
    *of("sae", ("nothing",)),
    *of("sae.architecture", ("x", "temporal", "1", "null")),
    *of("sae.settings.k", ("0", "-1", "1.5", "x", "100000", "true")),
    *of("+sae.settings.nothing", ("1",)),
    *of("model.name", (*NO_PATH[:4], "", "embedded:nothing", "SAES")),
    *of("model.hook", ("x", "neurons", "attn_z", "null")),
    *of("model.dtype", ("float8", "x", "null")),
    *of("b_dec_init_method", ("x", "null")),
    *of("ckpt_path", ("last", "nowhere.ckpt", "BAD.jsonl", LONG, "FIFO")),
    *of("float32_matmul_precision", ("x", "null")),
    *of("trainer.precision", ("bf16-true", "16-true", "transformer-engine", "x")),
    *of("trainer.accelerator", ("tpu", "x")),
    *of("trainer.strategy", ("ddp_spawn", "ddp_fork", "ddp_notebook", "x")),
    *of("+trainer.max_steps", ("5",)),
    *of("+trainer.fast_dev_run", ("true",)),
    *of("trainer.log_every_n_steps", ("0", "-1", "x")),
    *of("+trainer.num_nodes", ("2",)),
    *of("+callbacks.mine._target_", ("nothing.x", "math.sqrt", "builtins.dict")),
    *of("output_dir", (LONG, "FIFO", "FILE/x")),
]
BAD_UNIVERSALITY = [
    *of("seed", ("-1", str(2**64))),
    *of("data.n_sequences", ("0", "x")),
    *of("data.path", ("nowhere", "BAD.jsonl", "EMPTY.jsonl", "FIFO", "LOOP/x")),
    *of("data.exclude_outliers", ("0.5",)),
    *of("vary.layer", ("[]", "[3]", "[3,3]", "[3,99]", "[3,-1]", "[3,x]", "null", "3", f"[3,{BIG}]")),
    *of("vary", ("null", "x", "[1]")),
    *of("space.model", ("nowhere", "embedded:nothing", "null", "SAES")),
    *of("space.sae", ("nowhere", "null", "EMPTY", "embedded:stories-6-saes/layer_{layer}")),
    *of("+space.hook", ("x",)),
    *of("+space.nothing", ("1",)),
    *of("space", ("null", "x")),
    *of("spaces", ("null", "x", "[1]", "[{}]", "[{layer:3,sae:[1]}]", "[{layer:3,nothing:1}]")),
    *of("in_order", ("x",)),
    *of("train", ("x",)),
    *of("clusters.q", ("-0.1", "1.1", "nan")),
    *of("clusters.n_draws", ("0", str(BIG))),
    *of("clusters.n_resamples", ("-1", str(BIG))),
    *of("clusters.n_null", ("-1", str(BIG))),
    *of("null.n", ("0", str(BIG))),
    *of("metrics", ("[]", "[svca]", "[rsa,rsa]")),
    *of("alignment", ("x",)),
    *of("trainer.accelerator", ("tpu",)),
    *of("trainer.strategy", ("ddp_spawn",)),
    *of("trainer.devices", ("9999",)),
    *of("+trainer.limit_test_batches", ("1",)),
    *of("cache.max_gb", ("nan",)),
    *of("experiment", ("nothing", "null")),
    *of("output_dir", (LONG, "FIFO", "FILE/x")),
    "+nothing=1",
    "~seed",
]
# What looks odd and is none the less meant, or harmless: runs, or ends in a sentence.
EITHER = {
    "model_a.randomize=true",
    "+trainer.overfit_batches=0.5",
    "filters.minimum_firing_count=" + str(BIG),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Files and folders that the table names in capitals."""
    root = tmp_path_factory.mktemp("places")
    (root / "LOOP").symlink_to(root / "LOOP")
    (root / "DANGLING").symlink_to(root / "nowhere")
    os.mkfifo(root / "FIFO")
    (root / "FILE").write_text("x")
    (root / "EMPTY").mkdir()
    (root / "BAD.jsonl").write_text('{"text": 7}\n')
    (root / "EMPTY.jsonl").write_text('{"text": ""}\n')
    (root / "SURROGATE.jsonl").write_text('{"text": "\\ud800"}\n')
    shutil.copytree(Path(locate("embedded:stories-6-saes/layer_3", "path")).parent, root / "SAES")
    return root


def sentence(task, program, arguments, small, places, directory):
    """What a job of these arguments ends with; None if it succeeds. Whatever else it raises is a fault."""
    given = [_placed(argument, places) for argument in arguments]
    keys = {argument.partition("=")[0] for argument in given}
    where = [] if "output_dir" in keys else [f"output_dir={directory}/out"]
    overrides = listed_values(quoted_values([*small, *where, *given]), program.schema)
    if empty := empty_sweep(overrides):
        return empty
    try:
        cfg = program.compose(*overrides)
    except Exception as error:  # as `analogue.cli.run.run` has it
        message = composition_error(error, program, overrides)
        if message is None:
            raise
        return message
    try:
        task(cfg)
    except UserError as error:
        return str(error)
    return None


def _placed(argument, places):
    key, equals, value = argument.partition("=")
    names = ("LOOP", "DANGLING", "FIFO", "FILE", "EMPTY", "BAD", "SURROGATE", "SAES")
    return f"{key}={places}/{value}" if equals and value.startswith(names) else argument


@pytest.fixture
def quick():
    """Nothing may take longer than some seconds: a pipe that is waited for would hang."""

    def too_long(number, frame):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def check(said, argument):
    assert said is not None, f"{argument} is accepted"
    assert len(said) < 1000, said
    assert "\n" not in said.strip(), said
    assert "Traceback" not in said
    key = argument.partition("=")[0].lstrip("+~")
    parts = {key, key.rpartition(".")[0], key.rpartition(".")[2], key.partition(".")[0]} - {""}
    assert not parts or any(part in said for part in parts), said


def check_refused(job, program, argument, small, places, tmp_path):
    small = [each for each in small if each.partition("=")[0] != argument.partition("=")[0]]
    said = sentence(job, program, [argument], small, places, tmp_path)
    assert argument in EITHER or said is not None, "is accepted"
    if said is not None:
        check(said, argument)


@pytest.mark.parametrize("argument", BAD_COMPARE, ids=lambda value: value[:60])
def test_compare_refuses_in_one_sentence(argument, places, tmp_path, quick):
    check_refused(run_comparison, COMPARE, argument, COMPARE_SMALL, places, tmp_path)


@pytest.mark.parametrize("argument", BAD_TRAINING, ids=lambda value: value[:60])
def test_train_sae_refuses_in_one_sentence(argument, places, tmp_path, quick):
    check_refused(train_saes, TRAIN_SAE, argument, TRAIN_SMALL, places, tmp_path)


@pytest.mark.parametrize("argument", BAD_UNIVERSALITY, ids=lambda value: value[:60])
def test_universality_refuses_in_one_sentence(argument, places, tmp_path, quick):
    check_refused(run_universality, UNIVERSALITY, argument, UNIVERSALITY_SMALL, places, tmp_path)


@pytest.mark.parametrize(
    "path", ["nowhere", "FILE", "EMPTY", "LOOP", "DANGLING", "FIFO", "x" * 5000, "a/" * 3000, "a\0b"]
)
def test_report_refuses_in_one_sentence(path, places, capsys, quick):
    assert report([str(places / path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: directory=")
    assert len(said.strip().splitlines()) == 1


def test_the_table_is_long_enough():
    assert len({*BAD_COMPARE}) + len({*BAD_TRAINING}) >= 300
