/* tests/fuzz/fuzz.h -- fuzz targets: one function each, which takes any bytes and must neither
 * crash nor hang. With SSMC_FUZZ each is a libFuzzer program; in the ordinary tests replay.c runs
 * all of them. */
#ifndef SSMC_TESTS_FUZZ_H
#define SSMC_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#ifdef SSMC_FUZZ_REPLAY
#define FUZZ_TARGET(name) int fuzz_##name(const uint8_t *data, size_t size)
#else
#define FUZZ_TARGET(name) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#endif

int fuzz_yaml(const uint8_t *data, size_t size);
int fuzz_config(const uint8_t *data, size_t size);
int fuzz_ir(const uint8_t *data, size_t size);
int fuzz_safetensors(const uint8_t *data, size_t size);
int fuzz_torch(const uint8_t *data, size_t size);
int fuzz_gguf(const uint8_t *data, size_t size);
int fuzz_state(const uint8_t *data, size_t size);
int fuzz_chat(const uint8_t *data, size_t size);
int fuzz_tokenizer(const uint8_t *data, size_t size);
int fuzz_request(const uint8_t *data, size_t size);
int fuzz_gbnf(const uint8_t *data, size_t size);
int fuzz_schema(const uint8_t *data, size_t size);

#endif
