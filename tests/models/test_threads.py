import threading

import pytest
import torch

from euds.models.hardware import cores_shared_out


@pytest.fixture
def four_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def threads_inside(workers):
    """Return what a new thread computes with, and what is left afterwards."""
    seen = []

    def look():
        torch.ones(10).sum()
        seen.append(torch.get_num_threads())

    with cores_shared_out(workers) as started:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    return started, seen[0], torch.get_num_threads()


def test_each_worker_has_its_share_and_the_setting_is_put_back(four_cores):
    assert threads_inside(None) == (4, 1, 4)
    assert threads_inside(2) == (2, 2, 4)
    assert threads_inside(9) == (9, 1, 4)


def test_the_setting_is_put_back_after_an_error(four_cores):
    with pytest.raises(RuntimeError, match="broken"), cores_shared_out():
        raise RuntimeError("broken")
    assert torch.get_num_threads() == 4


def test_a_gpu_has_one_worker(four_cores, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with cores_shared_out() as workers:
        assert workers == 1
        assert torch.get_num_threads() == 4
