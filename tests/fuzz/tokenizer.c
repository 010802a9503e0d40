/* tests/fuzz/tokenizer.c -- a tokenizer.json that is taken encodes a text to ids that have bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tokenizer/tokenizer.h"

static const char TEXT[] =
    "Once upon  a time,\r\n it's 12345 \xC3\xA9 e\xCC\x81\xCC\xA3 \xE6\x97\xA5 "
    "\xF0\x9F\x99\x82 \xE1\xA0\x8E <|endoftext|> <|pad|>\n\n\taaaaaaaa\0 b  ";

static void
check_encode(const Tokenizer *tok, bool plain)
{
    int32_t *ids = NULL;
    size_t count = 0, bad = 0, len = 0;
    if (!(plain ? tok_encode_plain : tok_encode)(tok, TEXT, sizeof TEXT - 1, &ids, &count, &bad)) {
        if (bad != sizeof TEXT - 1)
            die("byte %zu of a good text is called bad", bad);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= tok_size(tok) || !tok_decode(tok, ids[i], &len))
            die("id %d has no bytes", ids[i]);
    }
    free(ids);
}

FUZZ_TARGET(tokenizer)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Tokenizer *tok = tok_parse(arena, (const char *)data, size, "tokenizer.json", diag);
    if (tok) {
        check_encode(tok, false);
        check_encode(tok, true);
    } else if (diag_errors(diag) == 0)
        die("refused without a word");
    StrBuf said = {0};
    diag_print(diag, &said);
    sb_free(&said);
    tok_free(tok);
    diag_free(diag);
    arena_free(arena);
    return 0;
}
