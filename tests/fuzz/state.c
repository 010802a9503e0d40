/* tests/fuzz/state.c -- any bytes as a saved state of a model with states of every kind. Where a
 * file says what it is and how long, and its checksum, it is set right: what is tried is the rest.
 */
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/state_file.h"
#include "tests/fuzz/fuzz.h"

enum { ROOM = 256, WIDE = 2, SUM = 8 };

static const AbiState states[] = {
    {.name = "all", .row_bytes = WIDE * 4, .rank = 2, .dim = {0, WIDE}},
    {.name = "fixed", .bytes = 12, .rank = 1, .dim = {3}},
    {.name = "near", .row_bytes = WIDE * 4, .window = 70, .rank = 2, .dim = {0, WIDE}},
};
static const AbiEntry entry = {"all", .block = 16, .rows = 1, .grain = 1};
static const AbiOutput logits = {"logits", ABI_F32, ABI_PICKED, 8, 8, 0, 0};
static const AbiProgram program = {
    .name = "fuzz",
    .numerics = "f32",
    .state_bytes = 12,
    .output_bytes = 32,
    .entries = &entry,
    .outputs = &logits,
    .nentries = 1,
    .noutputs = 1,
    .states = states,
    .nstates = RT_COUNT(states),
};

static void
must(bool so)
{
    if (!so)
        abort();
}

/* The head of a file that the model itself wrote. */
static void
set_right(const ssmc_session *s, char *bytes, size_t size)
{
    const RtHash model = rt_model_identity(s->model);
    const uint64_t version = RT_STATE_VERSION, len = size;
    const size_t numerics = offsetof(RtStateHead, numerics);
    if (size < sizeof(RtStateHead) + SUM)
        return;
    memcpy(bytes, "ssmcstat", 8);
    memcpy(bytes + offsetof(RtStateHead, version), &version, sizeof version);
    memcpy(bytes + offsetof(RtStateHead, file_bytes), &len, sizeof len);
    memcpy(bytes + offsetof(RtStateHead, model_low), &model.low, sizeof model.low);
    memcpy(bytes + offsetof(RtStateHead, model_high), &model.high, sizeof model.high);
    memset(bytes + numerics, 0, RT_NUMERICS);
    memcpy(bytes + numerics, program.numerics, strlen(program.numerics));
    const uint64_t exact = 1, sum_of = size - SUM;
    memcpy(bytes + offsetof(RtStateHead, exact), &exact, sizeof exact);
    const uint64_t sum = rt_hash(bytes, sum_of);
    memcpy(bytes + sum_of, &sum, sizeof sum);
}

/* Refused with a message, and the sequence is as it was; or it has as many tokens as the file says,
 * and groups of rows past them are zeros. */
static void
load(ssmc_session *s, const char *path)
{
    void *note = NULL;
    size_t bytes = 0;
    const ssmc_status status = ssmc_state_load(s, 0, path, &note, &bytes);
    const int64_t tokens = ssmc_tokens(s, 0);
    if (status != SSMC_OK) {
        must(tokens == 0 && !note && ssmc_error()[0] != '\0');
        return;
    }
    must(tokens >= 0 && tokens <= ROOM && note);
    const float *row = (const float *)(s->kept + s->kept_at[0]);
    for (int64_t i = rt_kept_rows(&states[0], tokens); i < ROOM; i++)
        must(row[i * WIDE] == 0 && row[i * WIDE + 1] == 0);
    free(note);
    must(ssmc_reset(s, 0) == SSMC_OK);
    for (int64_t i = 0; i < ROOM * WIDE; i++)
        must(row[i] == 0);
}

FUZZ_TARGET(state)
{
    ssmc_program *p = NULL;
    ssmc_weights *w = NULL;
    ssmc_model *model = NULL;
    ssmc_session *s = NULL;
    must(rt_program_wrap(&program, &p) == SSMC_OK);
    must(rt_weights_init(NULL, 0, 0, 1, NULL, NULL, &w) == SSMC_OK);
    must(ssmc_model_open(p, w, 1, NULL, NULL, &model) == SSMC_OK);
    must(ssmc_session_open_for(model, 1, 1, ROOM, &s) == SSMC_OK);
    char *copy = malloc(size + 1), path[64];
    must(copy != NULL);
    memcpy(copy, data, size);
    set_right(s, copy, size);
    const int fd = memfd_create("state", 0);
    must(fd >= 0 && write(fd, copy, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    load(s, path);
    close(fd);
    free(copy);
    ssmc_session_close(s);
    ssmc_model_close(model);
    rt_weights_close(w);
    rt_program_free(p);
    return 0;
}
