/* runtime/zip.h -- zip archives whose entries are stored without compression, so that their bytes
 * can be used where they lie.
 *
 * libzip is not used: what is wanted of an archive is where the bytes of an entry are, and libzip
 * has no call that tells it, neither of the data nor of the local header in front of it (zip_stat
 * gives names and sizes). The directory would have to be read here anyway. Besides, every product
 * with weights in files would need one more library. */
#ifndef SSMC_RUNTIME_ZIP_H
#define SSMC_RUNTIME_ZIP_H

#include "runtime/internal.h"

typedef struct {
    const char *name; /* borrows the archive: no NUL behind it */
    size_t name_len;
    size_t header;       /* of the archive: where the entry starts */
    size_t begin, bytes; /* of the archive: the data */
} RtZipEntry;

typedef struct {
    RtZipEntry *entry; /* owns: [count], sorted by name */
    int count;
} RtZip;

/* Reads the directory of an archive, zip64 too. SSMC_BAD_FILE: it is damaged, or has an entry that
 * is compressed or encrypted, of which two share bytes or a name, or which is not where it should
 * be. path: for messages. */
ssmc_status rt_zip_read(const char *path, const char *bytes, size_t len, RtZip *out);
void rt_zip_free(RtZip *zip);
const RtZipEntry *rt_zip_find(const RtZip *zip, const char *name, size_t len); /* NULL: none */

#endif
