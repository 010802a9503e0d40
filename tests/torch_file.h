/* tests/torch_file.h -- zip archives as torch.save writes them, of any records: for tests and
 * fuzzing of what torch.save would not write. */
#ifndef SSMC_TESTS_TORCH_FILE_H
#define SSMC_TESTS_TORCH_FILE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *name;
    const void *data;
    size_t len;
    bool zip64; /* its sizes and its place are numbers of 64 bits */
} TorchRecord;

typedef struct {
    char *bytes; /* malloc */
    size_t len;
} TorchFile;

/* Data starts at multiples of 64. */
TorchFile torch_file_of(const TorchRecord *records, int count);
/* Records x/data.pkl, the given pickle; x/data/0, 24 bytes of F32: 0, 1 .. 5; x/data/1, empty. */
TorchFile torch_file_around(const void *pickle, size_t len);

#endif
