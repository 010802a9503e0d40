/* tests/fuzz/gguf.c -- any bytes as a GGUF file: every tensor taken can be read. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tensors.h"

FUZZ_TARGET(gguf)
{
    fuzz_tensors(data, size, "fuzz.gguf");
    return 0;
}
