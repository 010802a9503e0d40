/* runtime/blocks.h -- tensors that a file stores as quantised blocks (gguf_types.h): functions that
 * unpack their rows to f32, or copy their scales. */
#ifndef SSMC_RUNTIME_BLOCKS_H
#define SSMC_RUNTIME_BLOCKS_H

#include "runtime/gguf_types.h"
#include "runtime/rt.h"

/* Behind the first `fixed` of a tensor's rows (or columns) there are units of `unit`, there in the
 * order [repeat,a,b], here [repeat,b,a]. a or b 1: all stay where they are. */
typedef struct {
    size_t fixed, unit, a, b;
} RtTurn;
bool rt_turns(const RtTurn *turn);
size_t rt_turn_place(const RtTurn *turn, size_t i); /* where row (or column) i goes */

struct RtBlocks {
    const RtGgufType *type;
    const char *data; /* borrows the file */
    size_t bytes;
    size_t rows, columns; /* of elements; rows are whole blocks */
    RtTurn row_turn, column_turn;
};

typedef enum { RT_WHOLE, RT_SCALES, RT_MINIMA, RT_PARTS } RtPart;
/* Behind a weight's name: that part of it. */
extern const char *const rt_part_suffix[RT_PARTS];
/* How long a name is without its suffix; *part: what the suffix says. */
size_t rt_part_of_name(const char *name, size_t len, RtPart *part);

/* Whether the tensor's groups stay whole when its columns are turned. */
bool rt_blocks_have_scales(const RtBlocks *blocks);
const char *rt_blocks_dtype(const RtBlocks *blocks, RtPart part);
size_t rt_blocks_bytes(const RtBlocks *blocks, RtPart part);
/* That part of rows [from, to) of the file, put where they go in `out`, all of it. */
void rt_blocks_fill(const RtBlocks *blocks, RtPart part, size_t from, size_t to, char *out);

#endif
