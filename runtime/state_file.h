/* runtime/state_file.h -- a saved state, opened, to be looked at before it is loaded (cache.c). */
#ifndef SSMC_RUNTIME_STATE_FILE_H
#define SSMC_RUNTIME_STATE_FILE_H

#include "runtime/session.h"

#define STATE_C_U64(name)  uint64_t name;
#define STATE_C_TEXT(name) char name[RT_NUMERICS];
#define STATE_C_DIMS(name) uint64_t name[ABI_MAX_RANK];
typedef struct {
#define STATE_HEAD(kind, name, doc) STATE_C_##kind(name)
#include "runtime/state.def"
#undef STATE_HEAD
} RtStateHead;

typedef struct {
#define STATE_ENTRY(kind, name, doc) STATE_C_##kind(name)
#include "runtime/state.def"
#undef STATE_ENTRY
} RtStateEntry;

enum { RT_STATE_VERSION = 3 }; /* of the format */

typedef struct {
    const char *path; /* borrowed */
    RtMapping map;
    RtStateHead head;
    const char *entries, *note, *elements, *end; /* into the mapping */
    bool other_version;                          /* why it was not opened */
} RtStateFile;

/* Maps a file and checks that it is whole: nothing about the model yet. */
ssmc_status rt_state_open(const char *path, RtStateFile *out);
/* Loads it, if it fits the session's model; else the sequence is as it was. */
ssmc_status rt_state_read(const RtStateFile *file, ssmc_session *s, int seq);
void rt_state_close(RtStateFile *file);

/* Bytes of the file of a sequence's state with such a note. */
size_t rt_state_file_bytes(const ssmc_session *s, int seq, size_t note_bytes);

#endif
