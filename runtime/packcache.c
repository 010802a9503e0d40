/* runtime/packcache.c -- packed parameters in a file, so that the next start maps them instead of
 * making them. A file is written whole or not at all, is found by what it was made of, and is
 * checked to the last byte before it is used. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/internal.h"

enum { PAGE = 4096, PACK_VERSION = 1, BYTE_ORDER_MARK = 0x01020304 };
static const char magic[8] = {'S', 'S', 'M', 'C', 'P', 'A', 'C', 'K'};

/* The first page of the file; parameters follow from byte PAGE on. */
typedef struct {
    char magic[8];
    uint32_t version, order;
    uint64_t program, weights; /* what it was made of */
    uint64_t bytes;            /* of the parameters */
    uint64_t hash;             /* of the parameters */
} Header;

/* ---- the file ------------------------------------------------------------------------------ */

static Header
header_of(const AbiProgram *abi, uint64_t weights)
{
    Header h = {.version = PACK_VERSION,
                .order = BYTE_ORDER_MARK,
                .program = abi->pack_hash,
                .weights = weights,
                .bytes = (uint64_t)abi->param_bytes};
    memcpy(h.magic, magic, sizeof magic);
    return h;
}

char *
rt_pack_path(const char *dir, const AbiProgram *abi, uint64_t weights)
{
    const uint64_t key[] = {abi->pack_hash, weights, PACK_VERSION};
    char name[32];
    snprintf(name, sizeof name, "%016" PRIx64 ".pack", rt_hash(key, sizeof key));
    return rt_path_join(dir, name);
}

/* Its name says what a file was made of: one with another head is damaged. */
static bool
is_valid(const RtMapping *file, const Header *want)
{
    Header have;
    size_t len = 0;
    if (file->len < PAGE || !rt_add(PAGE, (size_t)want->bytes, &len) || file->len != len)
        return false;
    memcpy(&have, file->data, sizeof have);
    const uint64_t hash = have.hash;
    have.hash = want->hash;
    return memcmp(&have, want, sizeof have) == 0 &&
           rt_hash(file->data + PAGE, (size_t)want->bytes) == hash;
}

ssmc_status
rt_pack_read(const char *path, const AbiProgram *abi, uint64_t weights, RtMapping *file,
             const char **params, bool *found)
{
    struct stat st;
    const Header want = header_of(abi, weights);
    *found = false;
    if (stat(path, &st) != 0)
        return errno == ENOENT ? SSMC_OK : rt_fail_errno("open", path);
    const ssmc_status status = rt_map_file(path, file);
    if (status != SSMC_OK)
        return status;
    *found = is_valid(file, &want);
    if (*found) {
        *params = file->data + PAGE;
        return SSMC_OK;
    }
    rt_unmap_file(file);
    return rt_fail(SSMC_BAD_FILE, "%s is damaged; it is made anew", path);
}

ssmc_status
rt_pack_write(const char *path, const AbiProgram *abi, uint64_t weights, const char *params)
{
    RtOutput out;
    char page[PAGE] = {0};
    Header h = header_of(abi, weights);
    h.hash = rt_hash(params, (size_t)h.bytes);
    memcpy(page, &h, sizeof h);
    const ssmc_status status = rt_output_open(path, &out);
    if (status != SSMC_OK)
        return status;
    const bool ok =
        rt_output_put(&out, page, sizeof page) && rt_output_put(&out, params, (size_t)h.bytes);
    return rt_output_close(&out, ok);
}
