/* tests/torch_file.c -- see torch_file.h. Memory that is not there ends the test. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/torch_file.h"

enum { ALIGN = 64, LOCAL = 30 };

static void
put(TorchFile *f, const void *data, size_t len)
{
    char *more = realloc(f->bytes, f->len + len + 1);
    if (!more)
        abort();
    if (len)
        memcpy(more + f->len, data, len);
    f->bytes = more;
    f->len += len;
}

static void
put_number(TorchFile *f, uint64_t n, int bytes)
{
    char text[8];
    for (int i = 0; i < bytes; i++)
        text[i] = (char)(n >> 8 * i);
    put(f, text, (size_t)bytes);
}

/* Flag 3: the sizes stand behind the data, as torch.save has them; the reader under test does not
 * read those.
 */
static void
put_local(TorchFile *f, const TorchRecord *r)
{
    static const char zeros[ALIGN] = "";
    const size_t name = strlen(r->name), extra = (ALIGN - (f->len + LOCAL + name) % ALIGN) % ALIGN;
    put(f, "PK\3\4\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 26);
    put_number(f, name, 2);
    put_number(f, extra, 2);
    put(f, r->name, name);
    put(f, zeros, extra);
    put(f, r->data, r->len);
}

static void
put_central(TorchFile *f, const TorchRecord *r, size_t at)
{
    const size_t name = strlen(r->name);
    put(f, "PK\1\2\0\0\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0", 20);
    put_number(f, r->zip64 ? UINT32_MAX : r->len, 4);
    put_number(f, r->zip64 ? UINT32_MAX : r->len, 4);
    put_number(f, name, 2);
    put_number(f, r->zip64 ? 6 + 28 : 0, 2);
    put(f, "\0\0\0\0\0\0\0\0\0\0", 10);
    put_number(f, r->zip64 ? UINT32_MAX : at, 4);
    put(f, r->name, name);
    if (!r->zip64)
        return;
    put(f, "FB\2\0ZZ", 6); /* another extra field */
    put_number(f, 1, 2);
    put_number(f, 24, 2);
    put_number(f, r->len, 8);
    put_number(f, r->len, 8);
    put_number(f, at, 8);
}

TorchFile
torch_file_of(const TorchRecord *records, int count)
{
    TorchFile f = {0};
    size_t *at = calloc((size_t)count + 1, sizeof *at);
    if (!at)
        abort();
    for (int i = 0; i < count; i++) {
        at[i] = f.len;
        put_local(&f, &records[i]);
    }
    const size_t directory = f.len;
    for (int i = 0; i < count; i++)
        put_central(&f, &records[i], at[i]);
    const size_t size = f.len - directory;
    put(&f, "PK\5\6\0\0\0\0", 8);
    put_number(&f, (uint64_t)count, 2);
    put_number(&f, (uint64_t)count, 2);
    put_number(&f, size, 4);
    put_number(&f, directory, 4);
    put_number(&f, 0, 2);
    free(at);
    return f;
}

TorchFile
torch_file_around(const void *pickle, size_t len)
{
    static const float numbers[] = {0, 1, 2, 3, 4, 5};
    const TorchRecord records[] = {
        {"x/data.pkl", pickle,  len,            false},
        {"x/data/0",   numbers, sizeof numbers, false},
        {"x/data/1",   "",      0,              false},
    };
    return torch_file_of(records, 3);
}
