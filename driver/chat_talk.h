/* driver/chat_talk.h -- private to driver/: a conversation, and how much of it the model has read.
 */
#ifndef SSMC_DRIVER_CHAT_TALK_H
#define SSMC_DRIVER_CHAT_TALK_H

#include "driver/chat_from.h"

struct json_object;

/* What a sequence was after its first `count` ids. */
typedef struct {
    int64_t count;
    ssmc_checkpoint *state;
} TalkMark;

enum { TALK_MARKS = 16 };

typedef struct {
    const Options *o;
    Job *job;
    const Tokenizer *tok;
    const ChatFormat *format;
    ssmc_session *session; /* sequence 0 is the conversation */
    ssmc_sampler *sampler;
    ssmc_cache *cache;            /* NULL: none */
    struct json_object *messages; /* owns */
    struct json_object *extra;    /* owns; NULL: what the template presets */
    int32_t *ids;                 /* [read] that the model has read; owns */
    int64_t read, cap;
    TalkMark marks[TALK_MARKS]; /* ascending; owns */
    int nmarks;
    int64_t most; /* ids of an answer */
    /* of the last turn */
    int64_t fed, kept, made;
    const char *ended; /* why it ended before the model did; NULL: it did not */
} Talk;

void talk_close(Talk *talk);
/* The system's message; NULL: none. */
void talk_system(Talk *talk, const char *text);
/* Forgets all but the system's message. */
void talk_reset(Talk *talk);
/* Takes the last message of the user back, with what came after it. False: there is none. */
bool talk_undo(Talk *talk);
/* Adds a message of the user, and the answer, which goes to `put` as it comes. An exit status: the
 * fault has been printed, and the conversation is as it was. */
typedef bool TalkPut(void *user, ChatKind kind, const char *text, size_t len);
int talk_turn(Talk *talk, const char *text, TalkPut *put, void *user);
/* The state with the conversation as its note; an exit status. */
int talk_save(const Talk *talk, const char *path);
int talk_load(Talk *talk, const char *path);

#endif
