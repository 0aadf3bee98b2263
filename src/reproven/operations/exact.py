"""Exact operations: those of torch that give one result however they are computed.

They copy, count, compare and choose, or do one operation that IEEE 754 rounds at each place. Each name stands
for all its forms: with a number, in place, into `out`.
"""

from __future__ import annotations

_VIEWS = """
    _conj_physical _reshape_alias _reshape_copy _unsafe_view alias as_strided chunk contiguous detach
    diagonal diagonal_copy expand expand_as flatten lift lift_fresh movedim narrow permute ravel reshape
    resize resolve_conj resolve_neg select set slice split split_with_sizes squeeze swapaxes swapdims t
    transpose unbind unflatten unfold unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze view
    view_as
"""
_MADE = """
    _efficientzerotensor arange empty empty_like empty_permuted empty_strided eye fill full full_like
    new_empty new_empty_strided new_full new_ones new_zeros ones ones_like scalar_tensor tril
    tril_indices triu triu_indices zero zeros zeros_like
"""
_MOVED = """
    _copy_from _local_scalar_dense _pin_memory _to_copy cat clone constant_pad_nd copy embedding
    expand_copy flip gather im2col index index_copy index_fill index_select item masked_fill
    masked_scatter masked_select narrow_copy permute_copy pixel_shuffle pixel_unshuffle reflection_pad1d
    reflection_pad2d repeat repeat_interleave replication_pad1d replication_pad2d roll rot90 scatter
    select_backward select_copy select_scatter slice_backward slice_copy slice_scatter sort split_copy
    stack take tile to transpose_copy unsqueeze_copy view_copy where
"""
_COMPARED = """
    all allclose any argmax argmin bitwise_and bitwise_not bitwise_or bitwise_xor count_nonzero eq equal
    ge gt is_same_size nextafter isfinite isinf isnan le logical_and logical_not logical_or logical_xor
    lt max min minimum maximum fmax fmin amax amin aminmax ne nonzero searchsorted bucketize sign sgn
    signbit max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d
"""
_ROUNDED = """
    abs ceil clamp clamp_max clamp_min div floor floor_divide hardtanh hardtanh_backward leaky_relu
    leaky_relu_backward mul neg reciprocal relu remainder round threshold threshold_backward trunc
    _prelu_kernel _prelu_kernel_backward _foreach_mul
"""
#: Sums of gradients in the order of the places that they come from, one after the other.
_ORDERED = """
    max_pool2d_with_indices_backward adaptive_max_pool2d_backward
"""
_DRAWN = """
    random randint randint_like randperm rand rand_like randn randn_like
"""
_NAMES = frozenset(" ".join((_VIEWS, _MADE, _MOVED, _COMPARED, _ROUNDED, _ORDERED, _DRAWN)).split())
#: Forms that add or multiply.
_INEXACT_FORMS = ("reduce", "value_reduce")


def is_exact(name: str) -> bool:
    """Whether an operation, such as `mul_.Tensor`, has one result however it is computed."""
    base, _, overload = name.partition(".")
    return base.rstrip("_") in _BASES and overload.removesuffix("_out") not in _INEXACT_FORMS


_BASES = frozenset(name.rstrip("_") for name in _NAMES)
