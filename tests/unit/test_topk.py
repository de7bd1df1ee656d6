"""The blocked top-k equals a full stable sort, ties included."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from interp_magics.engine.topk import tile_top


@given(
    st.integers(1, 8),
    st.sampled_from([64, 2048, 1000, 4096]),
    st.integers(1, 20),
    st.integers(0, 10_000),
    st.booleans(),
)
def test_it_is_the_full_sort_by_value_and_column(rows, width, k, seed, tied):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, width, generator=generator)
    if tied:
        values = (values * 2).round()
    wanted = values.sort(dim=1, descending=True, stable=True)
    top, columns = tile_top(values, k)
    assert torch.equal(top, wanted.values[:, :k])
    assert torch.equal(columns, wanted.indices[:, :k])


def test_all_equal_values_come_in_the_order_of_columns():
    _, columns = tile_top(torch.zeros(2, 2048), 7)
    assert columns.tolist() == [list(range(7))] * 2
