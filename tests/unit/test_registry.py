from __future__ import annotations

import pytest

from gan_bench.core.errors import UserError
from gan_bench.core.registry import Registry


@pytest.fixture
def fruits():
    registry: Registry[int] = Registry("fruit")
    registry.register("apple", 1)
    registry.register("pear", 2)
    return registry


def test_order_of_registration_is_kept(fruits):
    assert list(fruits.items()) == [("apple", 1), ("pear", 2)]


def test_duplicate_is_an_error(fruits):
    with pytest.raises(ValueError, match='the fruit name "pear" is taken: it is registered twice'):
        fruits.register("pear", 3)


def test_near_miss_is_named(fruits):
    with pytest.raises(UserError, match='unknown fruit "aple" .did you mean "apple"'):
        fruits["aple"]


def test_far_miss_lists_what_is_known(fruits):
    with pytest.raises(UserError, match="known: apple, pear"):
        fruits["xyz"]


def test_membership_does_not_raise(fruits):
    assert "kiwi" not in fruits
