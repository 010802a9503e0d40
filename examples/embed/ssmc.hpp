// examples/embed/ssmc.hpp -- ssmc.h for C++17: what is opened closes itself, what fails throws.
//
// Copy it beside your sources. Include the header of a compiled model before it, or have ssmc.h
// along the include path. Objects can be moved and not copied; a Model outlives its sessions and
// checkpoints, and what the C header says of threads holds here.
#ifndef SSMC_HPP
#define SSMC_HPP

#ifndef SSMC_H
#include "ssmc.h"
#endif

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace ssmc
{

// What a function of ssmc.h returned, and what it said.
class Error : public std::runtime_error
{
  public:
    Error(ssmc_status status, const char *what) : std::runtime_error(what), status_(status)
    {
    }
    ssmc_status status() const
    {
        return status_;
    }

  private:
    ssmc_status status_;
};

inline void
check(ssmc_status status)
{
    if (status != SSMC_OK)
        throw Error(status, ssmc_error());
}

template <typename T, void (*close)(T *)> struct Closer {
    void operator()(T *opened) const
    {
        close(opened);
    }
};
template <typename T, void (*close)(T *)> using Handle = std::unique_ptr<T, Closer<T, close>>;

using Ids = std::vector<std::int32_t>;
using Logits = std::vector<float>;

// A model with its weights, shared by sessions and threads.
class Model
{
  public:
    explicit Model(const ssmc_compiled *compiled, const ssmc_opening &how = {})
    {
        ssmc_model *opened = nullptr;
        check(ssmc_compiled_open(compiled, &how, &opened));
        handle_.reset(opened);
    }
    std::size_t vocab() const
    {
        return static_cast<std::size_t>(ssmc_model_vocab(get()));
    }
    const ssmc_model *get() const
    {
        return handle_.get();
    }

  private:
    Handle<ssmc_model, ssmc_model_close> handle_;
};

// What running takes, before it is taken.
inline ssmc_memory
memory(const ssmc_compiled *compiled, int sequences = 1, int threads = 0,
       const char *variant = nullptr)
{
    ssmc_memory figures;
    check(ssmc_compiled_memory(compiled, variant, sequences, threads, &figures));
    return figures;
}

using Checkpoint = Handle<ssmc_checkpoint, ssmc_checkpoint_drop>;

// The states of a batch of sequences; of one thread at a time.
class Session
{
  public:
    explicit Session(const Model &model, int sequences = 1, int threads = 0) : vocab_(model.vocab())
    {
        ssmc_session *opened = nullptr;
        check(ssmc_session_open(model.get(), sequences, threads, &opened));
        handle_.reset(opened);
    }

    // Logits of the last token [vocab].
    Logits prefill(const Ids &ids, int seq = 0)
    {
        Logits logits(vocab_);
        check(ssmc_prefill(get(), seq, ids.data(), length(ids), logits.data()));
        return logits;
    }
    // Logits of every token [ids.size(),vocab].
    Logits prefill_all(const Ids &ids, int seq = 0)
    {
        Logits logits(ids.size() * vocab_);
        check(ssmc_prefill_all(get(), seq, ids.data(), length(ids), logits.data()));
        return logits;
    }
    // One id for each of different sequences: logits [seqs.size(),vocab].
    Logits step(const std::vector<int> &seqs, const Ids &ids)
    {
        if (seqs.size() != ids.size())
            throw std::invalid_argument("a step wants an id for each sequence");
        Logits logits(seqs.size() * vocab_);
        const int n = static_cast<int>(seqs.size());
        check(ssmc_step(get(), seqs.data(), ids.data(), n, logits.data()));
        return logits;
    }
    // Any number of ids for any sequences in one call; the inputs say where logits go.
    void feed(const std::vector<ssmc_input> &inputs)
    {
        check(ssmc_feed(get(), inputs.data(), static_cast<int>(inputs.size())));
    }

    std::int64_t tokens(int seq = 0) const
    {
        return ssmc_tokens(get(), seq);
    }
    void reset(int seq = 0)
    {
        check(ssmc_reset(get(), seq));
    }
    void fork(int from, int to)
    {
        check(ssmc_fork(get(), from, to));
    }
    Checkpoint checkpoint(int seq = 0) const
    {
        ssmc_checkpoint *taken = nullptr;
        check(ssmc_checkpoint_take(get(), seq, &taken));
        return Checkpoint(taken);
    }
    void rewind(const Checkpoint &to, int seq = 0)
    {
        check(ssmc_rewind(get(), seq, to.get()));
    }
    void save(const std::string &path, const std::string &note = "", int seq = 0) const
    {
        check(ssmc_state_save(get(), seq, path.c_str(), note.data(), note.size()));
    }
    // The note that was saved with it.
    std::string load(const std::string &path, int seq = 0)
    {
        void *note = nullptr;
        std::size_t bytes = 0;
        check(ssmc_state_load(get(), seq, path.c_str(), &note, &bytes));
        const std::unique_ptr<void, void (*)(void *)> owner(note, std::free);
        return note ? std::string(static_cast<const char *>(note), bytes) : std::string();
    }

    ssmc_session *get() const
    {
        return handle_.get();
    }

  private:
    static std::int64_t length(const Ids &ids)
    {
        return static_cast<std::int64_t>(ids.size());
    }
    Handle<ssmc_session, ssmc_session_close> handle_;
    std::size_t vocab_;
};

// States of prompts in a directory.
class Cache
{
  public:
    Cache(const std::string &dir, std::uint64_t limit)
    {
        ssmc_cache *opened = nullptr;
        check(ssmc_cache_open(dir.c_str(), limit, &opened));
        handle_.reset(opened);
    }
    // How many of the first ids the sequence need not read any more.
    std::size_t take(Session &session, const Ids &ids, int seq = 0) const
    {
        std::int64_t taken = 0;
        const std::int64_t n = static_cast<std::int64_t>(ids.size());
        check(ssmc_cache_take(handle_.get(), session.get(), seq, ids.data(), n, &taken));
        return static_cast<std::size_t>(taken);
    }
    // The sequence has read exactly these ids.
    void put(const Session &session, const Ids &ids, int seq = 0) const
    {
        const std::int64_t n = static_cast<std::int64_t>(ids.size());
        check(ssmc_cache_put(handle_.get(), session.get(), seq, ids.data(), n));
    }

  private:
    Handle<ssmc_cache, ssmc_cache_close> handle_;
};

// Draws the next id.
class Sampler
{
  public:
    explicit Sampler(const Model &model, const ssmc_sampling &how = {}) : vocab_(model.vocab())
    {
        ssmc_sampler *opened = nullptr;
        check(ssmc_sampler_open(&how, ssmc_model_vocab(model.get()), &opened));
        handle_.reset(opened);
    }
    void see(std::int32_t id)
    {
        ssmc_sampler_see(handle_.get(), id);
    }
    std::int32_t operator()(Logits logits) // a copy: drawing changes it
    {
        if (logits.size() != vocab_)
            throw std::invalid_argument("an id is drawn from the logits of one token");
        return ssmc_sample(handle_.get(), logits.data());
    }

  private:
    Handle<ssmc_sampler, ssmc_sampler_close> handle_;
    std::size_t vocab_;
};

} // namespace ssmc

#endif
