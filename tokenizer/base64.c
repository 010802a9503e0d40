/* tokenizer/base64.c -- bytes that a text file holds as base64 (RFC 4648). */
#include <string.h>

#include "tokenizer/tables.h"

static int
digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool
tok_base64(Arena *arena, Slice text, Slice *out)
{
    size_t len = text.len;
    if (len % 4)
        return false;
    while (len > 0 && text.len - len < 2 && text.text[len - 1] == '=')
        len--;
    char *bytes = arena_alloc(arena, len / 4 * 3 + 4);
    size_t n = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < len; i++) {
        const int d = digit(text.text[i]);
        if (d < 0)
            return false;
        bits = bits << 6 | (uint32_t)d;
        if (i % 4)
            bytes[n++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xFF);
    }
    *out = (Slice){bytes, n};
    return true;
}
