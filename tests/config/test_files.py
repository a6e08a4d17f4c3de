import pytest

from sot.api import build_model, build_network
from sot.config import list_configs, load_config
from sot.config.keys import REMOVED_KEYS
from sot.engine import Trainer

CONFIG = "SiamRPN/siamrpn_compact.yaml"


def refused(tmp_path, text, *opts, match, error=ValueError):
    """A config file with this text is refused, in one line that names the file."""
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(error, match=match) as e:
        load_config(path, opts)
    assert "\n" not in str(e.value) and "bad.yaml" in str(e.value)


def test_configs_are_found_by_name():
    assert {CONFIG, "Base-SiamRPN.yaml"} <= set(list_configs())


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match="siamrpn_compact.yaml"):
        load_config("no_such.yaml")


class TestBase:
    def test_later_files_win_over_earlier_ones(self, tmp_path):
        (tmp_path / "a.yaml").write_text("SEED: 1\nINPUT: {TEMPLATE_SIZE: 101, FLIP_PROB: 0}\n")
        (tmp_path / "b.yaml").write_text("_BASE_: a.yaml\nSEED: 2\n")
        (tmp_path / "c.yaml").write_text("SOLVER:\n  MAX_ITER: 7\n")
        (tmp_path / "d.yaml").write_text("_BASE_: [b.yaml, c.yaml]\nINPUT: {TEMPLATE_SIZE: 103}")
        cfg = load_config(tmp_path / "d.yaml")
        assert (cfg.SEED, cfg.SOLVER.MAX_ITER) == (2, 7)
        assert (cfg.INPUT.TEMPLATE_SIZE, cfg.INPUT.FLIP_PROB) == (103, 0.0)

    @pytest.mark.parametrize("base", ["5", "''", "~", "[1]", "{a: b}", "'http://a.b/c.yaml'"])
    def test_what_is_no_file_name_is_refused(self, tmp_path, base):
        refused(tmp_path, f"_BASE_: {base}", match="_BASE_ must be the path of a config file, it")

    def test_missing_file_is_named(self, tmp_path):
        match = r"_BASE_: there is no file \S*gone.yaml"
        refused(tmp_path, "_BASE_: gone.yaml", match=match, error=FileNotFoundError)

    def test_circle_is_named(self, tmp_path):
        (tmp_path / "a.yaml").write_text("_BASE_: bad.yaml")
        refused(tmp_path, "_BASE_: a.yaml", match=r"a.yaml: _BASE_: \S*bad.yaml leads back")
        refused(tmp_path, "_BASE_: bad.yaml", match="leads back")


def test_no_code_is_run(tmp_path):
    mark = tmp_path / "run"
    text = f"OUTPUT_DIR: !!python/object/apply:os.mkdir ['{mark}']\n"
    refused(tmp_path, text, match="no YAML of plain values: .*python/object/apply:os.mkdir")
    assert not mark.exists()


@pytest.mark.parametrize(
    "text", ["INPUT: [1\n", "- 1\n", "words", "\x00", "A: 2024-13-45", "!!bool"]
)
def test_file_that_is_no_config_is_named(tmp_path, text):
    refused(tmp_path, text, match="no YAML of plain values|no config of KEY: VALUE lines")


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ValueError, match="bad.yaml: no YAML"):
        load_config(path)


@pytest.mark.parametrize(
    "text, match",
    [
        ("INPUT:\n  TEMPLATE_SIZE: large", "INPUT.TEMPLATE_SIZE must be a whole number, as 127"),
        ("MODEL:\n  SIAMESE: {NORMM: BN}", "no key MODEL.SIAMESE.NORMM: do you mean MODEL.SIAMESE"),
        ("MODEL: {BACKBONE: {NAME: {A: 1}}}", "no key MODEL.BACKBONE.NAME.A"),
        ("MODEL: 5", "MODEL is a section: give a value to one of its keys, "),
        ("OUTPUT_DIR: ~", "OUTPUT_DIR is empty"),
        ("DATASETS: {TRAIN: vot2018}", r"must be a list.* it is 'vot2018'; .*as \('vot2018',\)$"),
        (
            "DATASETS: {TRAIN: [2018]}",
            r"TRAIN must be a list, as \('folder:DIR',\), but it is \[2018\]",
        ),
        ("DATASETS: {FRAME_RANGE: [far]}", r"FRAME_RANGE must be a list, as \(100,\)"),
        ("MODEL: {PIXEL_MEAN: [1, 2, x]}", r"MODEL.PIXEL_MEAN must be a list, as \[103.53, "),
        ("SOLVER: {WEIGHT_DECAY_BIAS: none}", "WEIGHT_DECAY_BIAS must be a number, as 0.0"),
        ("5: 6", "no key 5"),
    ],
)
def test_wrong_key_or_value_is_named(tmp_path, text, match):
    refused(tmp_path, text, match=match)


def test_whole_numbers_in_lists_of_others(tmp_path):
    (tmp_path / "a.yaml").write_text("MODEL: {PIXEL_MEAN: [1, 2, 3.5]}\nSOLVER: {STEPS: []}\n")
    cfg = load_config(tmp_path / "a.yaml")
    assert cfg.MODEL.PIXEL_MEAN == [1, 2, 3.5] and cfg.SOLVER.STEPS == ()


def test_a_value_that_cannot_be_is_named_with_its_file(tmp_path):
    refused(tmp_path, "SOLVER: {MAX_ITER: 0}", match="SOLVER.MAX_ITER is 0: .*yaml")


def test_sections_may_be_empty(tmp_path):
    (tmp_path / "a.yaml").write_text("MODEL:\n# WEIGHTS: a.pth\n")
    load_config(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("# nothing\n")
    load_config(tmp_path / "b.yaml")


class TestCommandLine:
    @pytest.mark.parametrize(
        "opts, match",
        [
            (["SEED", "-1", "--resume"], "such as --resume go before the KEY VALUE pairs"),
            (["SOLVER.MAX_ITER=5"], "write SOLVER.MAX_ITER 5 in place of SOLVER.MAX_ITER=5"),
            (["SEED"], "SEED has no value"),
            (["MAX_ITER", "5"], "no key MAX_ITER: do you mean SOLVER.MAX_ITER"),
            (["OUTPUT_DIR", "None"], "OUTPUT_DIR is empty"),
        ],
    )
    def test_wrong_pairs_are_named(self, opts, match):
        with pytest.raises(ValueError, match=f"in the command line: .*{match}"):
            load_config(CONFIG, opts)

    def test_values_get_the_type_of_their_key(self, monkeypatch):
        monkeypatch.setenv("HOME", "/home/me")
        opts = ["OUTPUT_DIR", "2024", "SOLVER.BASE_LR", "1", "SOLVER.STEPS", "[3, 4]"]
        cfg = load_config(CONFIG, [*opts, "MODEL.WEIGHTS", "~/a.pth", "DATASETS.TRAIN", "('a',)"])
        assert cfg.OUTPUT_DIR == "2024" and cfg.MODEL.WEIGHTS == "/home/me/a.pth"
        assert cfg.SOLVER.BASE_LR == 1.0 and type(cfg.SOLVER.BASE_LR) is float
        assert cfg.SOLVER.STEPS == (3, 4) and cfg.DATASETS.TRAIN == ("a",)


@pytest.mark.parametrize("key", REMOVED_KEYS)
def test_old_config_is_read_unless_it_asks_for_what_is_not_there(tmp_path, key):
    load_config(CONFIG, [key, str(REMOVED_KEYS[key])])
    match = f"{key} was removed, and its value is always {REMOVED_KEYS[key]} now: leave it out"
    with pytest.raises(ValueError, match=match):
        load_config(CONFIG, [key, "0.7"])


class TestNetworks:
    def test_gpu_without_gpu(self, monkeypatch):
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        cfg = load_config(CONFIG, ["MODEL.DEVICE", "cuda", "MODEL.WEIGHTS", ""])
        with pytest.raises(ValueError, match="no CUDA GPU"):
            build_model(cfg)

    @pytest.mark.parametrize(
        "opts, match",
        [
            (["INPUT.TEMPLATE_SIZE", 1], "INPUT.TEMPLATE_SIZE 1 does not suit this network"),
            (["MODEL.ALEXNET.GROUPS", 7], "no network can be built .*values of MODEL: .* groups"),
            (["MODEL.RPN.IN_FEATURES", ["conv9"]], "no network can be built .*conv9"),
        ],
    )
    @pytest.mark.parametrize("build", [build_network, Trainer.build_model])
    def test_values_that_give_no_network_are_one_error(self, opts, match, build):
        with pytest.raises(ValueError, match=match):
            build(load_config("SiamRPN/siamrpn_alex.yaml", [*opts, "MODEL.DEVICE", "cpu"]))

    def test_training_mode_is_kept(self):
        assert build_network(load_config(CONFIG, ["MODEL.DEVICE", "cpu"])).training
