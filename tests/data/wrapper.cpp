// tests/data/wrapper.cpp -- every function of examples/embed/ssmc.hpp: wrapper DIR. Ends with
// status 0 when each does what ssmc.h says.
#include "model.h"

#include "ssmc.hpp"

#include <iostream>
#include <type_traits>
#include <utility>

template <typename T>
constexpr bool
moves_only()
{
    return std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
           !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
}
static_assert(moves_only<ssmc::Model>() && moves_only<ssmc::Session>());
static_assert(moves_only<ssmc::Cache>() && moves_only<ssmc::Sampler>());
static_assert(moves_only<ssmc::Checkpoint>());

static void
expect(bool holds, const char *what)
{
    if (!holds)
        throw std::logic_error(what);
}

template <typename Call>
static void
expect_error(Call call, ssmc_status status, const std::string &says)
{
    try {
        call();
    } catch (const ssmc::Error &e) {
        expect(e.status() == status, "another status");
        expect(std::string(e.what()).find(says) != std::string::npos, e.what());
        return;
    }
    expect(false, "no error");
}

static const ssmc::Ids ids = {5, 17, 3, 99, 42, 7};

static void
reading(const ssmc::Model &model)
{
    ssmc::Session s(model, 3, 1);
    const ssmc::Logits last = s.prefill(ids, 1), all = s.prefill_all(ids, 2);
    expect(last.size() == MODEL_VOCAB && all.size() == ids.size() * MODEL_VOCAB, "sizes");
    expect(ssmc::Logits(all.end() - MODEL_VOCAB, all.end()) == last, "prefill and prefill_all");
    ssmc::Logits fed(model.vocab());
    s.feed({
        {0, ids.data(), static_cast<std::int64_t>(ids.size()), 1, fed.data()}
    });
    expect(fed == last, "feed");
    expect(s.tokens(1) == 6 && s.tokens(7) == -1, "tokens");
    const ssmc::Logits stepped = s.step({2, 0}, {1, 1});
    expect(ssmc::Logits(stepped.begin(), stepped.begin() + MODEL_VOCAB) ==
               ssmc::Logits(stepped.begin() + MODEL_VOCAB, stepped.end()),
           "step");
    s.reset(1);
    expect(s.tokens(1) == 0, "reset");
    expect_error([&] { s.prefill({}, 0); }, SSMC_BAD_ARGUMENT, "at least 1 is needed");
    expect_error([&] { s.prefill({MODEL_VOCAB}); }, SSMC_BAD_ARGUMENT, "ids are 0 to");
    expect_error([&] { s.reset(3); }, SSMC_BAD_ARGUMENT, "no sequence 3");
    ssmc::Session moved = std::move(s);
    expect(moved.tokens(2) == 7, "moved");
}

static void
states(const ssmc::Model &model, const std::string &dir)
{
    ssmc::Session s(model, 2, 1);
    s.prefill(ids);
    const ssmc::Checkpoint before = s.checkpoint();
    s.fork(0, 1);
    s.save(dir + "/a.state", "a note");
    s.save(dir + "/b.state");
    const ssmc::Logits next = s.step({0}, {8});
    expect(s.step({1}, {8}) == next, "fork");
    s.rewind(before);
    expect(s.tokens() == 6 && s.step({0}, {8}) == next, "rewind");
    expect(s.load(dir + "/a.state") == "a note" && s.step({0}, {8}) == next, "load");
    expect(s.load(dir + "/b.state", 1).empty(), "no note");
    expect_error([&] { s.load(dir + "/none"); }, SSMC_IO, "/none");
    expect_error([&] { s.load(dir + "/wrapper"); }, SSMC_BAD_FILE, "is no saved state");

    const ssmc::Cache cache(dir + "/cache", 1 << 24);
    s.reset();
    expect(cache.take(s, ids) == 0, "an empty cache");
    s.prefill(ids);
    cache.put(s, ids);
    s.reset();
    expect(cache.take(s, ids) == ids.size() && s.step({0}, {8}) == next, "the cache");
    expect_error([&] { cache.put(s, ids); }, SSMC_BAD_ARGUMENT, "has read 7 tokens");
    expect_error([&] { ssmc::Cache none(dir + "/a.state", 1); }, SSMC_IO, "no directory");
}

static void
drawing(const ssmc::Model &model)
{
    ssmc::Sampler draw(model);
    ssmc::Logits logits(model.vocab());
    logits[11] = 1;
    expect(draw(logits) == 11, "greedy");
    draw.see(11);
    ssmc_sampling penalty = {};
    penalty.repeat_penalty = 4;
    ssmc::Sampler other(model, penalty);
    logits[12] = 0.5F;
    other.see(11);
    expect(other(logits) == 12, "what was seen is less likely");
    ssmc_sampling wrong = {};
    wrong.temperature = -1;
    expect_error([&] { ssmc::Sampler none(model, wrong); }, SSMC_BAD_ARGUMENT, "temperature");
}

int
main(int argc, char **argv)
try {
    expect(argc == 2, "usage: wrapper DIR");
    const ssmc::Model model(model_compiled());
    expect(model.vocab() == MODEL_VOCAB, "vocab");
    const ssmc_memory m = ssmc::memory(model_compiled(), 2, 1);
    expect(m.state == MODEL_STATE_BYTES && m.total > m.params, "memory");
    expect_error([] { ssmc::memory(model_compiled(), 1, 1, "pdp11"); }, SSMC_BAD_ARGUMENT, "pdp11");
    reading(model);
    states(model, argv[1]);
    drawing(model);
    return EXIT_SUCCESS;
} catch (const std::exception &e) {
    std::cerr << "wrapper: " << e.what() << '\n';
    return EXIT_FAILURE;
}
