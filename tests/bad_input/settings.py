"""Settings that are broken, unknown, out of range, of another type, or contradict one another."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.room import Room

AUDIT = "audit-dims --config c.toml"
TRAIN = "train --config c.toml"
ENCODE = "encode-refs --config c.toml"
REFRESH = "refresh --masks --config c.toml"


def case(name: str, text: str | bytes | None, command: str, exit_code: int, *message: str) -> Case:
    def make(room: Room) -> None:
        if command.startswith(("eval", "compare")):
            room.work()
        if text is not None:
            room.write("c.toml", text)

    return Case("config", name, make, command, exit_code, message)


CASES = [
    case("broken TOML", "[model\n", AUDIT, 1, "c.toml is not valid TOML", "line 1"),
    case("broken TOML", "[model\nwidth = 16", TRAIN, 1, "c.toml is not valid TOML", "line 1"),
    case("broken TOML", "seed = = 3", ENCODE, 1, "c.toml is not valid TOML", "line 1"),
    case("broken TOML", "seed = 3\nseed = 4\n", REFRESH, 1, "c.toml is not valid TOML", "line 2"),
    case("no UTF-8", b"# \xff\nseed = 3\n", AUDIT, 1, "c.toml is not valid TOML"),
    case("no such file", None, TRAIN, 1, "Cannot read the config file c.toml"),
    case("unknown key", "[model]\nwidht = 3\n", TRAIN, 1, "c.toml: unknown key 'model.widht'",
         "section [model] has", "width"),
    case("unknown section", "[network]\nwidth = 3\n", TRAIN, 1, "c.toml: unknown key 'network'",
         "the top level has"),
    case("unknown key at the top", "sed = 3\n", ENCODE, 1, "c.toml: unknown key 'sed'",
         "the top level has"),
    case("unknown key on the command line", None, "train --set model.widht=3", 1,
         "--set: unknown key 'model.widht'"),
    case("out of range", "[model]\nwidth = 0\n", TRAIN, 1, "c.toml: model.width must be at least 2",
         "got 0"),
    case("out of range", "[masks]\nstart_rate = 1.5\n", REFRESH, 1,
         "c.toml: masks.start_rate must be from 0.01 to 0.99", "got 1.5"),
    case("negative seed", "seed = -1\n", ENCODE, 1, "c.toml: seed must be at least 0", "got -1"),
    case("NaN", "[training]\nlearning_rate = nan\n", TRAIN, 1, "c.toml: training.learning_rate",
         "got nan"),
    case("infinity", "[loss]\nfocal_gamma = inf\n", TRAIN, 1, "c.toml: loss.focal_gamma",
         "got inf"),
    case("a number of a thousand digits", f"seed = {'9' * 1000}\n", TRAIN, 1, "c.toml", "seed"),
    case("levels that fall", "[masks]\nlevels = [0.5, 0.3]\n", TRAIN, 1, "c.toml: masks.levels"),
    case("no levels", "[masks]\nlevels = []\n", TRAIN, 1, "c.toml: masks.levels must be"),
    case("text for a number", '[model]\nwidth = "wide"\n', TRAIN, 1,
         "c.toml: model.width takes int, got 'wide'"),
    case("a yes for a number", "[model]\nwidth = true\n", TRAIN, 1,
         "c.toml: model.width takes int, got True"),
    case("a fraction for a whole number", "[model]\nwidth = 16.0\n", TRAIN, 1,
         "c.toml: model.width takes int, got 16.0"),
    case("a number for a yes", "[model]\ncopy_skip = 1\n", TRAIN, 1,
         "c.toml: model.copy_skip takes bool"),
    case("texts in a list of numbers", '[masks]\nlevels = ["a"]\n', TRAIN, 1,
         "c.toml: masks.levels takes a list of numbers"),
    case("a value for a section", "model = 3\n", TRAIN, 1, "c.toml: model is a section"),
    case("a section for a value", "[seed]\na = 3\n", TRAIN, 1, "c.toml: seed takes int"),
    case("no such choice", '[model]\nfusion = "glue"\n', TRAIN, 1,
         "c.toml: model.fusion must be one of local, site, mean; got 'glue'"),
    case("a list for a choice", "[model]\nfusion = [1]\n", TRAIN, 1,
         "c.toml: model.fusion must be"),
    case("contradiction", "[retrieval]\nnum_neighbours = 0\n", TRAIN, 1, "c.toml",
         "contradicts retrieval.space"),
    case("returned masked", '[model]\nreturned = "masked"\n', TRAIN, 1, "c.toml",
         "model.returned = 'masked'", "model.retrieved=through"),
    case("unknown population unread", "[model]\nunknown_population = 0.3\n", TRAIN, 1,
         "c.toml", "has no effect with model.population = false"),
    case("a setting that nothing reads", "[mosaic]\nunits = 5\n", TRAIN, 1, "c.toml",
         "has no effect here"),
    case("unknown preset", None, "train --preset v99", 1, "Unknown preset 'v99'", "tiny"),
    case("unknown preset", None, "audit-dims --preset v99", 1, "Unknown preset 'v99'", "tiny"),
    case("preset that is no text", "preset = [1]\n", TRAIN, 1, "c.toml", "preset"),
    case("two presets", 'preset = "v18-xl"\n', f"{TRAIN} --preset tiny", 1,
         "--preset tiny and c.toml", "disagree"),
    case("--set without a value", None, "train --set model.width", 1,
         "--set takes section.key=value, got 'model.width'"),
    case("--set of a preset", None, "train --set preset=tiny", 1, "--preset NAME"),
    case("no neighbours", None, "train --retrieve-k 0", 2, "--retrieve-k"),
    case("no devices", None, "train --preset tiny --devices 0", 2, "--devices"),
    case("devices that are not a number", None, "train --preset tiny --devices two", 2,
         "--devices"),
    case("more GPUs than there are", None, "train --preset tiny --device cuda --devices 64", 1,
         "CUDA device", "--device cpu"),
    case("mosaic with several devices", None, "train --preset mosaic --devices 2", 1,
         "mosaic is a small network", "--devices and torchrun are for the BERT systems"),
    case("bounds that are no numbers", None, "eval --run tiny --edges 0;1", 1,
         "--edges takes comma-separated numbers"),
    case("bounds that fall", None, "compare tiny mosaic --edges 0.5,0.1", 1, "edges"),
    case("name of a run that leads elsewhere", None, "eval --run ../x", 1,
         "got '../x'", "has no slashes"),
    case("name of a run that leads elsewhere", None, "train --preset tiny --run /tmp/x", 1,
         "has no slashes"),
]  # fmt: skip
