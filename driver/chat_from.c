/* driver/chat_from.c -- the form of a model's conversations: which template, or which known format.
 */
#include "driver/chat_from.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_TEMPLATE = 8 << 20 };

int
chat_from(const Options *o, Job *job, const Tokenizer *tok, ChatFormat **out, const char **why)
{
    const char *path = opt_text(o, OPT_chat_template), *unread = NULL;
    JobChat found = {0};
    *out = NULL;
    *why = NULL;
    int status = job_chat(job, tok, &found);
    if (status != EXIT_DONE)
        return status;
    ChatSource source = {.name = opt_text(o, OPT_chat_format),
                         .template = found.template,
                         .template_path = found.path,
                         .bos = found.bos,
                         .eos = found.eos};
    if (path) {
        char *text = NULL;
        size_t len = 0;
        if (!file_read(o->arena, path, MOST_TEMPLATE, &text, &len, &unread))
            return fault(EXIT_BAD_INPUT, "%s", unread);
        source.template = text;
        source.template_path = path;
    } else if (source.name) {
        source.template = NULL; /* what the user names is not what the model says */
    }
    *out = chat_open(&source, job->diag);
    if (*out)
        return EXIT_DONE;
    if (source.template || source.name)
        return diag_fault(job->diag);
    StrBuf said = {0};
    diag_print(job->diag, &said);
    const char *text = sb_finish(&said, o->arena);
    const size_t head = strlen("error: ");
    *why = arena_strndup(o->arena, text + head, strcspn(text + head, "\n"));
    return EXIT_DONE;
}

int
chat_encode(const Tokenizer *tok, const char *text, size_t len, int32_t **ids, size_t *count)
{
    const int status = encode_text(tok, "the conversation", text, len, ids, count);
    if (status != EXIT_DONE || *count < 2 || (*ids)[0] != (*ids)[1])
        return status;
    size_t n = 0;
    const char *first = tok_decode(tok, (*ids)[0], &n);
    const bool twice = first && n > 0 && n <= len && memcmp(first, text, n) == 0 &&
                       !(2 * n <= len && memcmp(first, text + n, n) == 0);
    if (twice) {
        memmove(*ids, *ids + 1, (*count - 1) * sizeof **ids);
        --*count;
    }
    return status;
}
