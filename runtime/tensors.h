/* runtime/tensors.h -- what readers of tensor files share. A reader turns the bytes of one format
 * into a table of tensors (name, type, shape, data); code that reads the table cannot tell which
 * format the file has. */
#ifndef SSMC_RUNTIME_TENSORS_H
#define SSMC_RUNTIME_TENSORS_H

#include "runtime/internal.h"

struct RtTensorFile {
    char *path;        /* owns */
    RtMapping mapping; /* owns; empty when the bytes are borrowed */
    RtMapping *parts;  /* owns: [nparts], files that the first one names */
    size_t nparts;
    char *names;       /* owns: what RtTensor.name points into */
    RtTensor *tensors; /* owns: [count] */
    int count;
    RtIndex index;
    char *made; /* owns: pages, data that had to be converted; NULL: all lies in the file */
    size_t made_bytes;
    struct RtBlocks *blocks; /* owns: of tensors that have them; NULL: there are none */
    char *note;              /* owns: how many tensors lie in which blocks; NULL: none */
};

/* Readers fill the table from the bytes, which stay, and check everything that the table says. A
 * fault leaves a table that rt_tensors_close frees. */
ssmc_status rt_safetensors_read(RtTensorFile *file, const char *bytes, size_t len);
ssmc_status rt_torch_read(RtTensorFile *file, const char *bytes, size_t len); /* torch.save's */
ssmc_status rt_gguf_read(RtTensorFile *file, const char *bytes, size_t len);

/* The files behind the first of a GGUF in parts, which are the caller's then. */
struct RtGguf;
size_t rt_gguf_take_parts(struct RtGguf *gguf, RtMapping **out);

/* Room for a table of tensors whose names take that many bytes with their NULs; a reader calls it
 * once. */
ssmc_status rt_tensors_room(RtTensorFile *file, size_t tensors, size_t name_bytes);

/* A number of up to 8 bytes, the lowest first. */
uint64_t rt_little_endian(const char *bytes, int count);

#endif
