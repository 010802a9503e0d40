/* runtime/zip.c -- the directory of a zip archive (PKWARE's APPNOTE 6.3, sections 4.3 and 4.5), as
 * strict as a file from a stranger needs it: every number is checked before it is used. The sums
 * over data (CRC-32) are not: that would read all weights before the first is used, and safetensors
 * files have none either. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/tensors.h"
#include "runtime/zip.h"

enum {
    END_BYTES = 22, /* the end record, without its comment */
    MOST_COMMENT = 65535,
    LOCATOR_BYTES = 20, /* of zip64: in front of the end record */
    END64_BYTES = 56,   /* of zip64: where the locator points */
    CENTRAL_BYTES = 46, /* an entry of the directory, without its name */
    LOCAL_BYTES = 30,   /* what stands before an entry's data, without its name */
    MOST_ENTRIES = 1 << 20,
    FLAGS_ENCRYPTED = 1 | 1 << 6 | 1 << 13,
    FLAG_SIZES_BEHIND = 1 << 3, /* sizes follow the data; the local header may have 0 for them */
    ID_ZIP64 = 1                /* of an extra field */
};
static const uint64_t FULL16 = 0xffff, FULL32 = 0xffffffff; /* "see the zip64 field" */

/* A directory being read. */
typedef struct {
    const char *path, *bytes;
    uint64_t len;
    uint64_t begin, size, count; /* the directory */
} Archive;

static uint64_t
field(const Archive *a, uint64_t at, int bytes)
{
    return rt_little_endian(a->bytes + at, bytes);
}

static bool
signed_at(const Archive *a, uint64_t at, const char *signature)
{
    return memcmp(a->bytes + at, signature, 4) == 0;
}

static RtText
entry_name(const RtZipEntry *e)
{
    char name[sizeof(RtText)] = "";
    memcpy(name, e->name, e->name_len < sizeof name - 1 ? e->name_len : sizeof name - 1);
    return rt_quote(name);
}

static ssmc_status
entry_fault(const Archive *a, const RtZipEntry *e, const char *what)
{
    return rt_fail(SSMC_BAD_FILE, "%s: its entry '%s' %s", a->path, entry_name(e).text, what);
}

/* ---- the end of the archive ---------------------------------------------------------------- */

static ssmc_status
end_fault(const Archive *a, uint64_t at, const char *what)
{
    return rt_fail(SSMC_BAD_FILE, "%s: byte %" PRIu64 ": the end of this zip archive %s", a->path,
                   at, what);
}

/* The end record is the last thing but for its comment, whose length it says. */
static bool
find_end(const Archive *a, uint64_t *out)
{
    for (uint64_t comment = 0; comment <= MOST_COMMENT; comment++) {
        if (a->len < END_BYTES + comment)
            return false;
        const uint64_t at = a->len - END_BYTES - comment;
        if (!signed_at(a, at, "PK\5\6") || field(a, at + 20, 2) != comment)
            continue;
        *out = at;
        return true;
    }
    return false;
}

/* Replaces the directory's numbers by those of zip64, which must be the same where they fit in both
 * places. *end: where the directory ends. */
static ssmc_status
read_end64(Archive *a, uint64_t locator, uint64_t *end)
{
    const uint64_t at = field(a, locator + 8, 8);
    if (field(a, locator + 4, 4) != 0 || field(a, locator + 16, 4) > 1)
        return end_fault(a, locator, "is of an archive in several files");
    if (at > locator || locator - at < END64_BYTES || !signed_at(a, at, "PK\6\6") ||
        field(a, at + 4, 8) != locator - at - 12)
        return end_fault(a, locator, "says that its zip64 record is where none is");
    const uint64_t count = field(a, at + 32, 8), size = field(a, at + 40, 8);
    const uint64_t begin = field(a, at + 48, 8);
    if (field(a, at + 16, 4) != 0 || field(a, at + 20, 4) != 0 || field(a, at + 24, 8) != count)
        return end_fault(a, at, "is of an archive in several files");
    if ((a->count != FULL16 && a->count != count) || (a->size != FULL32 && a->size != size) ||
        (a->begin != FULL32 && a->begin != begin))
        return end_fault(a, at, "has two different numbers for its directory");
    a->count = count;
    a->size = size;
    a->begin = begin;
    *end = at;
    return SSMC_OK;
}

static ssmc_status
read_end(Archive *a)
{
    uint64_t at = 0;
    if (!find_end(a, &at))
        return rt_fail(
            SSMC_BAD_FILE,
            "%s is cut short: the directory that a zip archive ends in is not there; was "
            "it downloaded whole?",
            a->path);
    uint64_t end = at;
    a->count = field(a, at + 10, 2);
    a->size = field(a, at + 12, 4);
    a->begin = field(a, at + 16, 4);
    if (field(a, at + 4, 2) != 0 || field(a, at + 6, 2) != 0 || field(a, at + 8, 2) != a->count)
        return end_fault(a, at, "is of an archive in several files");
    if (at >= LOCATOR_BYTES && signed_at(a, at - LOCATOR_BYTES, "PK\6\7")) {
        const ssmc_status status = read_end64(a, at - LOCATOR_BYTES, &end);
        if (status != SSMC_OK)
            return status;
    }
    if (a->size > end || a->begin != end - a->size)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: its zip directory should be %" PRIu64 " bytes from byte %" PRIu64
                       " on, but it ends at byte %" PRIu64 "; was the file downloaded whole?",
                       a->path, a->size, a->begin, end);
    if (a->count > MOST_ENTRIES || a->count > a->size / CENTRAL_BYTES)
        return end_fault(a, at, "says more entries than its directory has");
    return SSMC_OK;
}

/* ---- entries ------------------------------------------------------------------------------- */

/* Numbers of 64 bits in the place of those in the directory that are full; false: they are not
 * there. */
static bool
read_zip64(const Archive *a, uint64_t extra, uint64_t extra_len, uint64_t *const *number, int count)
{
    uint64_t at = extra, end = extra + extra_len;
    bool any = false;
    for (int i = 0; i < count; i++)
        any = any || *number[i] == FULL32;
    if (!any)
        return true;
    while (end - at >= 4 && field(a, at, 2) != ID_ZIP64) {
        const uint64_t skip = 4 + field(a, at + 2, 2);
        if (skip > end - at)
            return false;
        at += skip;
    }
    if (end - at < 4 || field(a, at + 2, 2) > end - at - 4)
        return false;
    end = at + 4 + field(a, at + 2, 2);
    at += 4;
    for (int i = 0; i < count; i++) {
        if (*number[i] != FULL32)
            continue;
        if (end - at < 8)
            return false;
        *number[i] = field(a, at, 8);
        at += 8;
    }
    return true;
}

/* The header in front of the data, which says where the data starts, must be the entry's. */
static ssmc_status
read_local(const Archive *a, uint64_t flags, RtZipEntry *e)
{
    const uint64_t at = e->header;
    if (at > a->begin || a->begin - at < LOCAL_BYTES || !signed_at(a, at, "PK\3\4"))
        return entry_fault(a, e, "is not where the directory of the archive says");
    const uint64_t name = field(a, at + 26, 2), extra = field(a, at + 28, 2);
    const uint64_t rest = a->begin - at - LOCAL_BYTES;
    if (name != e->name_len || rest < name + extra ||
        memcmp(a->bytes + at + LOCAL_BYTES, e->name, e->name_len) != 0)
        return entry_fault(a, e, "has another name where it lies than in the directory");
    if (field(a, at + 8, 2) != 0 || (field(a, at + 6, 2) & FLAGS_ENCRYPTED))
        return entry_fault(a, e, "is compressed or encrypted, unlike what the directory says");
    for (uint64_t size = at + 18; size <= at + 22; size += 4) {
        const uint64_t n = field(a, size, 4);
        if (n != e->bytes && n != FULL32 && (n != 0 || !(flags & FLAG_SIZES_BEHIND)))
            return entry_fault(a, e, "has another size where it lies than in the directory");
    }
    if (e->bytes > rest - name - extra)
        return entry_fault(a, e, "reaches behind the data of the archive");
    e->begin = at + LOCAL_BYTES + name + extra;
    return SSMC_OK;
}

/* *at: the entry's place in the directory, then that of the next. */
static ssmc_status
read_entry(const Archive *a, uint64_t *at, RtZipEntry *e)
{
    const uint64_t from = *at, left = a->begin + a->size - from;
    if (left < CENTRAL_BYTES || !signed_at(a, from, "PK\1\2"))
        return rt_fail(SSMC_BAD_FILE, "%s: byte %" PRIu64 ": expected an entry of a zip directory",
                       a->path, from);
    const uint64_t name = field(a, from + 28, 2), extra = field(a, from + 30, 2);
    const uint64_t whole = CENTRAL_BYTES + name + extra + field(a, from + 32, 2);
    if (left < whole)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: byte %" PRIu64 ": an entry of %" PRIu64
                       " bytes, of which the zip directory has %" PRIu64,
                       a->path, from, whole, left);
    const uint64_t flags = field(a, from + 8, 2), method = field(a, from + 10, 2);
    uint64_t size = field(a, from + 24, 4), stored = field(a, from + 20, 4);
    uint64_t header = field(a, from + 42, 4);
    uint64_t *const numbers[] = {&size, &stored, &header};
    *e = (RtZipEntry){.name = a->bytes + from + CENTRAL_BYTES, .name_len = name};
    if (memchr(e->name, '\0', name))
        return entry_fault(a, e, "has a NUL in its name");
    if (flags & FLAGS_ENCRYPTED)
        return entry_fault(a, e, "is encrypted");
    if (method != 0)
        return entry_fault(a, e,
                           "is compressed; weights are read where they lie, as torch.save "
                           "writes them: uncompressed");
    if (!read_zip64(a, from + CENTRAL_BYTES + name, extra, numbers, (int)RT_COUNT(numbers)))
        return entry_fault(a, e, "lacks its zip64 sizes");
    if (size != stored || field(a, from + 34, 2) != 0)
        return entry_fault(a, e, "has two different sizes, or is in another file");
    e->header = header;
    e->bytes = size;
    *at += whole;
    return read_local(a, flags, e);
}

static int
header_order(const void *a, const void *b)
{
    const RtZipEntry *x = a, *y = b;
    return (x->header > y->header) - (x->header < y->header);
}

static int
name_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int
name_order(const void *a, const void *b)
{
    const RtZipEntry *x = a, *y = b;
    return name_compare(x->name, x->name_len, y->name, y->name_len);
}

/* No byte belongs to two entries, no name either. Leaves them sorted by name. */
static ssmc_status
check_apart(const Archive *a, RtZip *zip)
{
    const size_t count = (size_t)zip->count;
    if (count)
        qsort(zip->entry, count, sizeof *zip->entry, header_order);
    for (size_t i = 1; i < count; i++)
        if (zip->entry[i].header < zip->entry[i - 1].begin + zip->entry[i - 1].bytes)
            return entry_fault(a, &zip->entry[i], "overlaps the one before it");
    if (count)
        qsort(zip->entry, count, sizeof *zip->entry, name_order);
    for (size_t i = 1; i < count; i++)
        if (name_order(&zip->entry[i - 1], &zip->entry[i]) == 0)
            return entry_fault(a, &zip->entry[i], "is there twice");
    return SSMC_OK;
}

static ssmc_status
read_entries(const Archive *a, RtZip *zip)
{
    uint64_t at = a->begin;
    zip->entry = calloc(a->count + 1, sizeof *zip->entry);
    if (!zip->entry)
        return rt_fail_memory(a->count * sizeof *zip->entry, "the directory of an archive");
    for (uint64_t i = 0; i < a->count; i++) {
        const ssmc_status status = read_entry(a, &at, &zip->entry[i]);
        if (status != SSMC_OK)
            return status;
        zip->count++;
    }
    if (at != a->begin + a->size)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: byte %" PRIu64 ": the zip directory goes on behind its "
                       "last entry",
                       a->path, at);
    return check_apart(a, zip);
}

ssmc_status
rt_zip_read(const char *path, const char *bytes, size_t len, RtZip *out)
{
    Archive a = {.path = path, .bytes = bytes, .len = len};
    *out = (RtZip){0};
    ssmc_status status = read_end(&a);
    if (status == SSMC_OK)
        status = read_entries(&a, out);
    if (status != SSMC_OK)
        rt_zip_free(out);
    return status;
}

void
rt_zip_free(RtZip *zip)
{
    free(zip->entry);
    *zip = (RtZip){0};
}

const RtZipEntry *
rt_zip_find(const RtZip *zip, const char *name, size_t len)
{
    const RtZipEntry key = {.name = name, .name_len = len};
    return zip->count ? bsearch(&key, zip->entry, (size_t)zip->count, sizeof key, name_order)
                      : NULL;
}
