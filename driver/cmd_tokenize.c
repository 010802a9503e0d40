/* driver/cmd_tokenize.c -- ssmc tokenize: the exact bytes of standard input to ids, and back. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"

static int
put_ids(const Tokenizer *tok, const char *text, size_t len)
{
    int32_t *ids = NULL;
    size_t count = 0;
    const int status = encode_text(tok, "standard input", text, len, &ids, &count);
    for (size_t i = 0; i < count && status == EXIT_DONE; i++)
        printf("%s%d", i ? " " : "", ids[i]);
    if (status == EXIT_DONE)
        putchar('\n');
    free(ids);
    return status;
}

static int
put_ids_text(const Tokenizer *tok, const char *text, TokText *out)
{
    for (const char *at = text;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (!*at)
            return EXIT_DONE;
        char *end = NULL;
        errno = 0;
        const long id = strtol(at, &end, 10);
        const bool number = end != at && (*end == '\0' || isspace((unsigned char)*end));
        size_t len = 0;
        const char *bytes = number && errno == 0 && id >= 0 && id < INT32_MAX
                                ? tok_text_add(out, (int32_t)id, &len)
                                : NULL;
        if (!number)
            return fault(EXIT_BAD_INPUT, "standard input has '%.*s' where an id should be",
                         (int)strcspn(at, " \t\r\n"), at);
        if (!bytes)
            return fault(EXIT_BAD_INPUT, "id %ld is not in the tokenizer: ids are 0 to %lld", id,
                         (long long)tok_size(tok) - 1);
        fwrite(bytes, 1, len, stdout);
        at = end;
    }
}

static int
put_text(const Tokenizer *tok, const char *text)
{
    TokText *out = tok_text_new(tok, false);
    size_t len = 0;
    const int status = put_ids_text(tok, text, out);
    const char *rest = tok_text_end(out, &len);
    fwrite(rest, 1, len, stdout);
    tok_text_free(out);
    return status;
}

int
cmd_tokenize(Options *o)
{
    Job job = {0};
    Tokenizer *tok = NULL;
    char *text = NULL;
    size_t len = 0;
    int status = model_describe_any(&job, o);
    if (status == EXIT_DONE)
        status = job_tokenizer(&job, &tok);
    if (status == EXIT_DONE && !read_stdin(o->arena, &text, &len))
        status = EXIT_FAILED;
    if (status == EXIT_DONE)
        status = opt_given(o, OPT_decode_text) ? put_text(tok, text) : put_ids(tok, text, len);
    tok_free(tok);
    job_end(&job);
    return status;
}
