/* tests/fuzz/safetensors.c -- any bytes as a safetensors file: every tensor taken lies inside them.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tensors.h"

FUZZ_TARGET(safetensors)
{
    fuzz_tensors(data, size, "fuzz.safetensors");
    return 0;
}
