"""Environment variables that change numbers: which count where, and which make a request untrue."""

from __future__ import annotations

import pytest

from vitbench.errors import UnusableError
from vitbench.variables import VARIABLES, check_variables, variables_set

NAMED_IN_DOCS = [
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TORCHDYNAMO_DISABLE",
    "OMP_PROC_BIND",
    "OMP_WAIT_POLICY",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "GOMP_SPINCOUNT",
    "LD_PRELOAD",
    "CUBLAS_WORKSPACE_CONFIG",
    "PYTORCH_CUDA_ALLOC_CONF",
    "GLIBC_TUNABLES",
    "MALLOC_ARENA_MAX",
    "MKL_CBWR",
    "DNNL_DEFAULT_FPMATH_MODE",
    "TORCH_COMPILE_DISABLE",
    "TORCHINDUCTOR_MAX_AUTOTUNE",
    "TRITON_CACHE_DIR",
    "CUDA_LAUNCH_BLOCKING",
]


@pytest.mark.parametrize("name", NAMED_IN_DOCS)
def test_each_counts_for_a_compiled_model_on_a_gpu(name: str) -> None:
    found = variables_set("cuda:1", compiled=True, environment={name: "1", "PATH": "/bin", "HOME": "/root"})
    assert found.arithmetic | found.timing == {name: "1"}


@pytest.mark.parametrize(
    ("name", "arithmetic"),
    [
        ("ATEN_CPU_CAPABILITY", True),
        ("LD_PRELOAD", True),
        ("MKL_CBWR", True),
        ("OMP_DYNAMIC", True),
        ("OMP_WAIT_POLICY", False),
        ("KMP_BLOCKTIME", False),
        ("MALLOC_ARENA_MAX", False),
    ],
)
def test_what_changes_results_is_told_from_what_changes_speed(name: str, arithmetic: bool) -> None:
    found = variables_set("cpu", compiled=False, environment={name: "x"})
    assert (name in found.arithmetic, name in found.timing) == (arithmetic, not arithmetic)


def test_what_is_for_another_device_or_for_compiled_models_does_not_count() -> None:
    given = {"NVIDIA_TF32_OVERRIDE": "0", "CUDA_LAUNCH_BLOCKING": "1", "TORCHINDUCTOR_FREEZING": "1"}
    found = variables_set("cpu", compiled=False, environment=given)
    assert (found.arithmetic, found.timing) == ({}, {})
    found = variables_set("cpu", compiled=True, environment=given)
    assert (found.arithmetic, found.timing) == ({"TORCHINDUCTOR_FREEZING": "1"}, {})


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR"])
def test_threads_and_what_libraries_set_themselves_do_not_count(name: str) -> None:
    found = variables_set("cuda", compiled=True, environment={name: "1", "LD_PRELOAD": "", "ONEDNN_VERBOSE": "1"})
    assert (found.arithmetic, found.timing) == ({}, {})


def test_this_process_is_asked_where_no_environment_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert variables_set("cpu", compiled=False).arithmetic["ATEN_CPU_CAPABILITY"] == "avx2"
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    with pytest.raises(UnusableError):
        check_variables(device="cpu", precision="float32", compiled=False)


@pytest.mark.parametrize(
    ("name", "value", "device", "precision", "compiled"),
    [
        ("NVIDIA_TF32_OVERRIDE", "1", "cuda", "float32", False),
        ("NVIDIA_TF32_OVERRIDE", "1", "cuda:1", "bfloat16", False),
        ("NVIDIA_TF32_OVERRIDE", "0", "cuda", "tf32", False),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", "cpu", "float32", False),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "any", "cpu", "float32", False),
        ("DNNL_DEFAULT_FPMATH_MODE", "TF32", "cpu", "float32", False),
        ("TORCHDYNAMO_DISABLE", "1", "cpu", "float32", True),
        ("TORCH_COMPILE_DISABLE", "1", "cuda", "bfloat16", True),
    ],
)
def test_what_makes_a_request_untrue_is_one_line(
    name: str, value: str, device: str, precision: str, compiled: bool
) -> None:
    with pytest.raises(UnusableError, match=rf"the environment variable {name}={value} .*; unset it\.$") as raised:
        check_variables(device=device, precision=precision, compiled=compiled, environment={name: value})
    assert raised.value.exit_code == 3
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "device", "precision", "compiled"),
    [
        ("NVIDIA_TF32_OVERRIDE", "0", "cuda", "float32", False),
        ("NVIDIA_TF32_OVERRIDE", "1", "cuda", "tf32", False),
        ("NVIDIA_TF32_OVERRIDE", "1", "cpu", "float32", False),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "strict", "cpu", "float32", False),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "", "cpu", "float32", False),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", "cpu", "bfloat16", False),
        ("TORCHDYNAMO_DISABLE", "1", "cpu", "float32", False),
        ("TORCHDYNAMO_DISABLE", "0", "cpu", "float32", True),
    ],
)
def test_what_changes_nothing_of_the_request_is_let_pass(
    name: str, value: str, device: str, precision: str, compiled: bool
) -> None:
    check_variables(device=device, precision=precision, compiled=compiled, environment={name: value})


def test_each_has_a_reason_and_stands_once() -> None:
    assert all(variable.reason for variable in VARIABLES)
    assert len({variable.pattern for variable in VARIABLES}) == len(VARIABLES)
