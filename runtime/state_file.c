/* runtime/state_file.c -- a sequence's state to a file and back (runtime/state.def is the format).
 *
 * A file is written whole or not at all, and nothing is loaded from it before all of it has been
 * checked: that it is whole, and that this model left it. The states are found by name, so that
 * builds that lay them out differently can read each other's. */
#include "runtime/state_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { CHECKSUM_BYTES = 8, LEAST_DIMS = 4 };

static const char magic_text[8] = {'s', 's', 'm', 'c', 's', 't', 'a', 't'};

#define SIZE_U64(name)  sizeof(uint64_t)
#define SIZE_TEXT(name) RT_NUMERICS
#define SIZE_DIMS(name) (LEAST_DIMS * sizeof(uint64_t))
enum {
    HEAD_BYTES = 0
#define STATE_HEAD(kind, name, doc) +SIZE_##kind(name)
#include "runtime/state.def"
#undef STATE_HEAD
    ,
    ENTRY_BYTES = 0
#define STATE_ENTRY(kind, name, doc) +SIZE_##kind(name)
#include "runtime/state.def"
#undef STATE_ENTRY
};

/* Elements are written as they lie in memory. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "state files are little-endian");

/* A reader of any version finds the first two; the rank says how long its entry is. */
_Static_assert(offsetof(RtStateHead, magic) == 0 && offsetof(RtStateHead, version) == 8,
               "a state file begins with magic and version");
_Static_assert(offsetof(RtStateEntry, rank) == 8 &&
                   offsetof(RtStateEntry, rank) < offsetof(RtStateEntry, dim),
               "entry_next");
_Static_assert(ABI_F32 == 0 && ABI_F16 == 1 && ABI_BF16 == 2, "numbers of state.def");

/* ---- fields -------------------------------------------------------------------------------- */

static char *
put_u64(char *at, uint64_t n)
{
    for (int i = 0; i < 8; i++)
        at[i] = (char)(n >> (8 * i));
    return at + 8;
}

static uint64_t
get_u64(const char **at)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)(unsigned char)(*at)[i] << (8 * i);
    *at += 8;
    return n;
}

static char *
put_text(char *at, const char text[RT_NUMERICS])
{
    memcpy(at, text, RT_NUMERICS);
    return at + RT_NUMERICS;
}

static void
get_text(const char **at, char text[RT_NUMERICS])
{
    memcpy(text, *at, RT_NUMERICS);
    text[RT_NUMERICS - 1] = '\0';
    *at += RT_NUMERICS;
}

/* Of an entry of that rank. */
static int
dims_of(uint64_t rank)
{
    return rank > LEAST_DIMS ? (int)rank : LEAST_DIMS;
}

static size_t
entry_bytes(uint64_t rank)
{
    return ENTRY_BYTES + (size_t)(dims_of(rank) - LEAST_DIMS) * sizeof(uint64_t);
}

#define PUT_U64(name)  at = put_u64(at, from->name);
#define PUT_TEXT(name) at = put_text(at, from->name);
#define PUT_DIMS(name)                                                                             \
    for (int i = 0; i < dims_of(from->rank); i++)                                                  \
        at = put_u64(at, from->name[i]);
#define GET_U64(name)  to->name = get_u64(&at);
#define GET_TEXT(name) get_text(&at, to->name);
#define GET_DIMS(name)                                                                             \
    for (int i = 0; i < ABI_MAX_RANK; i++)                                                         \
        to->name[i] = i < dims_of(to->rank) ? get_u64(&at) : 1;

static void
head_put(char *at, const RtStateHead *from)
{
#define STATE_HEAD(kind, name, doc) PUT_##kind(name)
#include "runtime/state.def"
#undef STATE_HEAD
}

static void
head_get(const char *at, RtStateHead *to)
{
#define STATE_HEAD(kind, name, doc) GET_##kind(name)
#include "runtime/state.def"
#undef STATE_HEAD
}

static void
entry_put(char *at, const RtStateEntry *from)
{
#define STATE_ENTRY(kind, name, doc) PUT_##kind(name)
#include "runtime/state.def"
#undef STATE_ENTRY
}

static void
entry_get(const char *at, RtStateEntry *to)
{
#define STATE_ENTRY(kind, name, doc) GET_##kind(name)
#include "runtime/state.def"
#undef STATE_ENTRY
}

/* Of a sequence that has read so many tokens: a growing state has the rows that it goes on from. */
static RtStateEntry
entry_of(const AbiState *state, int64_t tokens)
{
    RtStateEntry entry = {.dtype = (uint64_t)state->dtype,
                          .rank = (uint64_t)state->rank,
                          .name_bytes = strlen(state->name)};
    for (int i = 0; i < ABI_MAX_RANK; i++)
        entry.dim[i] = i < state->rank ? (uint64_t)state->dim[i] : 1;
    if (state->row_bytes)
        entry.dim[0] = (uint64_t)rt_kept_rows(state, tokens);
    return entry;
}

/* ---- saving -------------------------------------------------------------------------------- */

typedef struct {
    RtOutput out;
    XXH3_state_t sum;
    bool ok; /* everything so far has been written */
} Writer;

static void
put(Writer *w, const void *data, size_t bytes)
{
    if (bytes == 0)
        return;
    XXH3_64bits_update(&w->sum, data, bytes);
    w->ok = w->ok && rt_output_put(&w->out, data, bytes);
}

size_t
rt_state_file_bytes(const ssmc_session *s, int seq, size_t note_bytes)
{
    const AbiProgram *abi = s->model->program->abi;
    size_t bytes = HEAD_BYTES + note_bytes + CHECKSUM_BYTES +
                   rt_kept_bytes(s->model->program, s->sequence[seq].tokens);
    for (int i = 0; i < abi->nstates; i++)
        bytes += entry_bytes((uint64_t)abi->states[i].rank) + strlen(abi->states[i].name) +
                 (size_t)abi->states[i].bytes;
    return bytes;
}

static RtStateHead
head_of(const ssmc_session *s, int seq, size_t note_bytes)
{
    const ssmc_program *p = s->model->program;
    const RtHash model = rt_model_identity(s->model);
    RtStateHead head = {.version = RT_STATE_VERSION,
                        .file_bytes = rt_state_file_bytes(s, seq, note_bytes),
                        .model_low = model.low,
                        .model_high = model.high,
                        .exact = rt_program_is_exact(p),
                        .tokens = (uint64_t)s->sequence[seq].tokens,
                        .states = (uint64_t)p->abi->nstates,
                        .note_bytes = note_bytes};
    memcpy(&head.magic, magic_text, sizeof magic_text);
    strcpy(head.numerics, p->abi->numerics); /* shorter: a program with a longer one is refused */
    return head;
}

static void
put_elements(Writer *w, const ssmc_session *s, int seq, int i)
{
    const AbiState *state = &s->model->program->abi->states[i];
    put(w, rt_session_states(s, seq) + state->offset, (size_t)state->bytes);
    for (RtKeptWalk k = rt_kept_walk(s, seq, i, s->sequence[seq].tokens); rt_kept_next(&k);)
        put(w, k.at, k.bytes);
}

static void
put_state(Writer *w, const ssmc_session *s, int seq, const void *note, size_t note_bytes)
{
    const AbiProgram *abi = s->model->program->abi;
    const RtStateHead head = head_of(s, seq, note_bytes);
    char bytes[HEAD_BYTES + ENTRY_BYTES + ABI_MAX_RANK * sizeof(uint64_t)];
    head_put(bytes, &head);
    put(w, bytes, HEAD_BYTES);
    for (int i = 0; i < abi->nstates; i++) {
        const RtStateEntry entry = entry_of(&abi->states[i], s->sequence[seq].tokens);
        entry_put(bytes, &entry);
        put(w, bytes, entry_bytes(entry.rank));
        put(w, abi->states[i].name, (size_t)entry.name_bytes);
    }
    put(w, note, note_bytes);
    for (int i = 0; i < abi->nstates; i++)
        put_elements(w, s, seq, i);
    put_u64(bytes, XXH3_64bits_digest(&w->sum));
    put(w, bytes, CHECKSUM_BYTES);
}

ssmc_status
ssmc_state_save(const ssmc_session *s, int seq, const char *path, const void *note,
                size_t note_bytes)
{
    Writer w = {.ok = true};
    ssmc_status status = rt_session_check(s, seq);
    if (status == SSMC_OK && (!path || (!note && note_bytes > 0)))
        status = rt_fail_null(path ? "note" : "path of a state");
    if (status == SSMC_OK && note_bytes > INT64_MAX / 2)
        status = rt_fail(SSMC_BAD_ARGUMENT, "a note of %zu bytes", note_bytes);
    if (status == SSMC_OK)
        status = rt_output_open(path, &w.out);
    if (status != SSMC_OK)
        return status;
    XXH3_64bits_reset(&w.sum);
    put_state(&w, s, seq, note, note_bytes);
    return rt_output_close(&w.out, w.ok);
}

/* ---- looking at a file --------------------------------------------------------------------- */

static ssmc_status
check_length(RtStateFile *f)
{
    const size_t least = HEAD_BYTES + CHECKSUM_BYTES;
    if (f->map.len < sizeof magic_text || memcmp(f->map.data, magic_text, sizeof magic_text) != 0)
        return rt_fail(SSMC_BAD_FILE, "%s is no saved state: it does not begin with \"ssmcstat\"",
                       f->path);
    if (f->map.len < least)
        return rt_fail(SSMC_BAD_FILE, "%s is cut short: %zu bytes, and its head alone has %zu",
                       f->path, f->map.len, least);
    head_get(f->map.data, &f->head);
    f->other_version = f->head.version != RT_STATE_VERSION;
    if (f->other_version)
        return rt_fail(SSMC_BAD_FILE,
                       "%s is a saved state of version %" PRIu64 "; this build reads version %d",
                       f->path, f->head.version, RT_STATE_VERSION);
    if (f->head.file_bytes != f->map.len)
        return rt_fail(SSMC_BAD_FILE, "%s %s: %zu bytes, and it was written with %" PRIu64, f->path,
                       f->map.len < f->head.file_bytes ? "is cut short" : "has grown", f->map.len,
                       f->head.file_bytes);
    return SSMC_OK;
}

static ssmc_status
check_sum(const RtStateFile *f)
{
    const char *at = f->end;
    const uint64_t says = get_u64(&at), has = rt_hash(f->map.data, (size_t)(f->end - f->map.data));
    if (says == has)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE,
                   "%s is damaged: its checksum says %016" PRIx64 ", its content has %016" PRIx64,
                   f->path, says, has);
}

/* The entry at *at, which then is where its name begins. */
static bool
entry_next(const RtStateFile *f, const char **at, RtStateEntry *out)
{
    const char *rank = *at + offsetof(RtStateEntry, rank);
    const size_t left = (size_t)(f->end - *at);
    if (left < ENTRY_BYTES)
        return false;
    out->rank = get_u64(&rank);
    if (out->rank > ABI_MAX_RANK || left < entry_bytes(out->rank))
        return false;
    entry_get(*at, out);
    *at += entry_bytes(out->rank);
    return out->name_bytes <= (uint64_t)(f->end - *at);
}

/* Finds where entries, note and elements begin. */
static ssmc_status
check_parts(RtStateFile *f)
{
    RtStateEntry entry;
    const char *at = f->entries;
    uint64_t i = 0;
    for (; i < f->head.states && entry_next(f, &at, &entry); i++)
        at += entry.name_bytes;
    if (i < f->head.states || f->head.note_bytes > (uint64_t)(f->end - at))
        return rt_fail(SSMC_BAD_FILE, "%s is broken: its parts are longer than itself", f->path);
    f->note = at;
    f->elements = at + f->head.note_bytes;
    return SSMC_OK;
}

ssmc_status
rt_state_open(const char *path, RtStateFile *f)
{
    *f = (RtStateFile){.path = path};
    ssmc_status status = rt_map_file(path, &f->map);
    if (status == SSMC_OK)
        status = check_length(f);
    if (status == SSMC_OK) {
        f->entries = f->map.data + HEAD_BYTES;
        f->end = f->map.data + f->map.len - CHECKSUM_BYTES;
        status = check_sum(f);
    }
    if (status == SSMC_OK)
        status = check_parts(f);
    if (status != SSMC_OK)
        rt_state_close(f);
    return status;
}

void
rt_state_close(RtStateFile *f)
{
    rt_unmap_file(&f->map);
}

/* ---- loading ------------------------------------------------------------------------------- */

static ssmc_status
check_model(const RtStateFile *f, const ssmc_model *model)
{
    const RtHash mine = rt_model_identity(model);
    const RtStateHead *h = &f->head;
    if (h->model_low != mine.low || h->model_high != mine.high)
        return rt_fail(SSMC_BAD_FILE,
                       "%s was saved by another model: by %016" PRIx64 "%016" PRIx64
                       ", but '%s' is %016" PRIx64 "%016" PRIx64,
                       f->path, h->model_high, h->model_low,
                       rt_quote(model->program->abi->name ? model->program->abi->name : "").text,
                       mine.high, mine.low);
    if (strcmp(h->numerics, model->program->abi->numerics) != 0)
        return rt_fail(SSMC_BAD_FILE, "%s was saved by a model in %s, but this one is in %s",
                       f->path, rt_quote(h->numerics).text, model->program->abi->numerics);
    if (rt_program_is_exact(model->program) && h->exact != 1)
        return rt_fail(
            SSMC_BAD_FILE,
            "%s was saved by a model that was not compiled reproducible, but this one is", f->path);
    return SSMC_OK;
}

/* Where the elements of a state are in the file; NULL: it has none of that name and shape. */
static const char *
elements_of(const RtStateFile *f, const AbiState *state)
{
    const RtStateEntry want = entry_of(state, (int64_t)f->head.tokens);
    const char *at = f->entries, *elements = f->elements;
    RtStateEntry entry;
    for (uint64_t i = 0; i < f->head.states && entry_next(f, &at, &entry); i++) {
        size_t bytes = 0;
        int64_t dim[ABI_MAX_RANK];
        for (int k = 0; k < ABI_MAX_RANK; k++)
            dim[k] = (int64_t)entry.dim[k];
        const int bits = entry.dtype < ABI_DTYPE_COUNT ? rt_abi_bits((AbiDtype)entry.dtype) : 0;
        if (!bits || !rt_tensor_bytes(bits, dim, ABI_MAX_RANK, &bytes) ||
            bytes > (size_t)(f->end - elements))
            return NULL;
        if (memcmp(&entry, &want, sizeof entry) == 0 &&
            memcmp(at, state->name, (size_t)entry.name_bytes) == 0)
            return elements;
        at += entry.name_bytes;
        elements += bytes;
    }
    return NULL;
}

static ssmc_status
no_state(const RtStateFile *f, const AbiState *state)
{
    int64_t dim[ABI_MAX_RANK];
    memcpy(dim, state->dim, sizeof dim);
    if (state->row_bytes)
        dim[0] = rt_kept_rows(state, (int64_t)f->head.tokens);
    return rt_fail(SSMC_BAD_FILE, "%s is broken: it has no state '%s' of %s", f->path,
                   rt_quote(state->name).text, rt_dims(dim, state->rank).text);
}

static ssmc_status
check_states(const RtStateFile *f, const ssmc_session *s)
{
    const AbiProgram *abi = s->model->program->abi;
    if (f->head.tokens > INT64_MAX)
        return rt_fail(SSMC_BAD_FILE, "%s is broken: it has read %" PRIu64 " tokens", f->path,
                       f->head.tokens);
    const ssmc_status fits = rt_session_fits(s, (int64_t)f->head.tokens, f->path);
    if (fits != SSMC_OK)
        return fits;
    if (f->head.states != (uint64_t)abi->nstates)
        return rt_fail(SSMC_BAD_FILE, "%s is broken: it has %" PRIu64 " states of %d", f->path,
                       f->head.states, abi->nstates);
    for (int i = 0; i < abi->nstates; i++)
        if (!elements_of(f, &abi->states[i]))
            return no_state(f, &abi->states[i]);
    return SSMC_OK;
}

ssmc_status
rt_state_read(const RtStateFile *f, ssmc_session *s, int seq)
{
    const AbiProgram *abi = s->model->program->abi;
    ssmc_status status = check_model(f, s->model);
    if (status == SSMC_OK)
        status = check_states(f, s);
    if (status != SSMC_OK)
        return status;
    const int64_t tokens = (int64_t)f->head.tokens;
    rt_kept_clear(s, seq, tokens);
    for (int i = 0; i < abi->nstates; i++) {
        const AbiState *state = &abi->states[i];
        const char *from = elements_of(f, state);
        memcpy(rt_session_states(s, seq) + state->offset, from, (size_t)state->bytes);
        rt_kept_put(s, seq, i, tokens, from);
    }
    s->sequence[seq].tokens = tokens;
    return SSMC_OK;
}

/* note NULL: the note is not wanted. */
static ssmc_status
copy_note(const RtStateFile *f, void **note, size_t *bytes)
{
    if (!note)
        return SSMC_OK;
    *bytes = (size_t)f->head.note_bytes;
    *note = malloc(*bytes + 1);
    if (!*note)
        return rt_fail_memory(*bytes, "the note of a saved state");
    memcpy(*note, f->note, *bytes);
    return SSMC_OK;
}

ssmc_status
ssmc_state_load(ssmc_session *s, int seq, const char *path, void **note, size_t *note_bytes)
{
    RtStateFile file;
    void *copy = NULL;
    ssmc_status status = rt_session_check(s, seq);
    if (note)
        *note = NULL;
    if (note && note_bytes)
        *note_bytes = 0;
    if (status == SSMC_OK && (!path || (note && !note_bytes)))
        status = rt_fail_null(path ? "place for the bytes of the note" : "path of a state");
    if (status == SSMC_OK)
        status = rt_state_open(path, &file);
    if (status != SSMC_OK)
        return status;
    status = copy_note(&file, note ? &copy : NULL, note_bytes);
    if (status == SSMC_OK)
        status = rt_state_read(&file, s, seq);
    if (status == SSMC_OK && note)
        *note = copy;
    else
        free(copy);
    rt_state_close(&file);
    return status;
}
