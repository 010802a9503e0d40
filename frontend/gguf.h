/* frontend/gguf.h -- private to frontend/: a GGUF file as the checkpoint that it was made of. */
#ifndef SSMC_FRONTEND_GGUF_H
#define SSMC_FRONTEND_GGUF_H

#include "ir/diag.h"
#include "ir/util.h"

#include "runtime/gguf.h"

bool gguf_is(const char *path);
/* The config.json that its key-values make, as a text; NULL: faults are in diag. written: as of a
 * checkpoint that is written of it. *tokenizer: it has one inside. */
const Source *gguf_config(Arena *arena, const char *path, Diag *diag, bool written,
                          bool *tokenizer);

/* The shortest decimal that reads back; of an F32 as an F32, which is what its file meant. */
void gguf_put_number(StrBuf *out, double n, bool is_float);
/* rope_scaling of config.json; nothing where positions are not scaled. False: faults are in diag.
 */
bool gguf_rope(StrBuf *out, const RtGguf *g, const char *arch, const char *path, Diag *diag);

/* ---- tokenizers ---- */

/* Types of tokens, as SentencePiece has them. */
typedef enum {
    GGUF_NORMAL = 1,
    GGUF_UNKNOWN,
    GGUF_CONTROL,
    GGUF_OWN,
    GGUF_UNUSED,
    GGUF_BYTE
} GgufTokenType;

/* SentencePiece's pieces. */
typedef struct {
    const RtGgufKey *tokens, *types, *scores;
    bool space;           /* a text begins with one */
    RtGgufText beginning; /* the token that a text begins with; empty: none */
    int64_t first;        /* its id */
} GgufPieces;
/* A tokenizer.json of them (gguf_pieces.c). */
void gguf_pieces_json(Arena *arena, const GgufPieces *from, StrBuf *out);

/* A text as one of JSON, and what stands between its quotes. */
void gguf_put_json(StrBuf *out, RtGgufText text);
void gguf_put_text(StrBuf *out, RtGgufText text);
/* The post-processor that puts a token before a text. */
void gguf_put_beginning(StrBuf *out, RtGgufText text, int64_t first);
/* Texts of a list, with their places behind them where ids. */
void gguf_put_list(StrBuf *out, const RtGgufKey *list, bool ids);

#endif
