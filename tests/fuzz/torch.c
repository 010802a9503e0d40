/* tests/fuzz/torch.c -- any bytes as a file of torch.save; those that are no zip archive as the
 * pickle in one. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tensors.h"
#include "tests/torch_file.h"

FUZZ_TARGET(torch)
{
    if (size >= 2 && memcmp(data, "PK", 2) == 0) {
        fuzz_tensors(data, size, "fuzz.bin");
        return 0;
    }
    TorchFile file = torch_file_around(data, size);
    fuzz_tensors(file.bytes, file.len, "fuzz.bin");
    free(file.bytes);
    return 0;
}
