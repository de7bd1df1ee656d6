"""What a worker holds for follow-ups: by owner, under quotas, for a time."""

import torch

from interp_magics.engine.protocol import HeldRow, HeldSite, RowOutcome
from interp_magics.worker.held import HeldRows


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def row(nbytes, number=0):
    values = torch.zeros(nbytes // 4, 1)
    return HeldRow(RowOutcome(number, (1, 2), 2, (), "prompt"), (), {("resid_post", 0): HeldSite((0,), values)})


def test_a_row_is_found_by_its_owner_alone_and_until_it_expires():
    clock = Clock()
    held = HeldRows("e", 10_000, 20_000, clock)
    handle = held.keep("ada", 60, [row(40)])
    assert handle.epoch == "e" and handle.expires == 1060.0
    assert held.find("ada", handle) is not None
    assert held.find("eve", handle) is None
    clock.now += 61
    assert held.find("ada", handle) is None
    held.expire()
    clock.now -= 61
    assert held.find("ada", handle) is None


def test_rows_are_found_by_number():
    held = HeldRows("e", 10_000, 20_000, Clock())
    handle = held.keep("ada", 60, [row(40), row(80)])
    second = type(handle)(handle.token, handle.epoch, handle.expires, 1)
    assert held.find("ada", second).nbytes == 80
    assert held.find("ada", type(handle)(handle.token, handle.epoch, handle.expires, 2)) is None


def test_a_users_oldest_make_room_for_his_newest_and_leave_others_alone():
    held = HeldRows("e", 10_000, 100_000, Clock())
    others = held.keep("eve", 60, [row(8000)])
    first, second, third = (held.keep("ada", 60, [row(3600)]) for _ in range(3))
    assert held.find("ada", first) is None
    assert held.find("ada", second) and held.find("ada", third) and held.find("eve", others)
    assert held.keep("ada", 60, [row(10_000)]) is None
    assert held.find("ada", third)


def test_the_whole_is_bounded_too():
    held = HeldRows("e", 10_000, 15_000, Clock())
    handles = [held.keep(f"user {i}", 60, [row(8000)]) for i in range(3)]
    assert [held.find(f"user {i}", h) is not None for i, h in enumerate(handles)] == [False, False, True]


def test_small_holdings_are_counted_too():
    held = HeldRows("e", 10**9, 10**9, Clock())
    handles = [held.keep("ada", 60, [row(4)]) for _ in range(300)]
    assert sum(held.find("ada", handle) is not None for handle in handles) == 256
