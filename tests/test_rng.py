import torch

from slotbench.rng import building, numpy_generator, seed_of, torch_generator


def test_a_stream_is_named_by_all_of_its_keys():
    seeds = {seed_of(0, "a"), seed_of("0", "a"), seed_of("a", 0), seed_of(0, "a", 0), seed_of(0)}
    assert len(seeds) == 5
    assert seed_of(3, "views", 7) == seed_of(3, "views", 7)


def test_generators_repeat_and_differ():
    draw = torch.rand(4, generator=torch_generator(1, "x"))
    assert torch.equal(draw, torch.rand(4, generator=torch_generator(1, "x")))
    assert not torch.equal(draw, torch.rand(4, generator=torch_generator(2, "x")))
    assert numpy_generator(1, "x").random() == numpy_generator(1, "x").random()


def test_building_depends_on_its_keys_alone_and_leaves_the_default_generator():
    before = torch.random.get_rng_state()
    with building(5, "core"):
        first = torch.nn.Linear(3, 3).weight
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(1)
    with building(5, "core"):
        assert torch.equal(first, torch.nn.Linear(3, 3).weight)
