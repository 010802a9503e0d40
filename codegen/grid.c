/* codegen/grid.c -- how threads divide a projection: groups of them by rows, members of a group by
 * panels of the weight (part=grid).
 *
 * By panels alone, 12 panels keep 12 of 16 threads busy, and 53 give four to some and three to
 * others; by rows alone, every thread walks all of the weight. Of the ways to write the number of
 * threads as groups x members the one whose busiest thread has least to do is taken (tile_grid of
 * machine/tile.h, as code), each time a kernel runs: it depends on T. Sums run over all of K in one
 * thread whatever the way, so that the bits do not depend on it.
 *
 * Where there are more parts than threads (pieces=), each thread's range of parts first divides its
 * rows, until those of a part can be staged at once, and then its panels: parts that follow each
 * other then mostly have the same rows, which are staged for the first of them only. */
#include "codegen/tile.h"
#include "machine/tile.h"

#define ADD(a, b) cg_add(c, a, b)
#define MUL(a, b) cg_mul(c, a, b)
#define NUM(n)    cg_i64(c, n)

/* Of the busiest thread where `groups` divide the rows and as many members as are left the panels.
 */
static Val
work_of(Cg *c, const CgKernel *k, int64_t panels, Val tiles, Val groups)
{
    const Val each = cg_div_up(c, cg_i64(c, panels), cg_div(c, k->threads, groups));
    const Val rows = cg_div_up(c, tiles, groups);
    return TILE_GRID_WORK(ADD, MUL, NUM, each, rows);
}

static Val
divides(Cg *c, Val by, Val n)
{
    const Val back = cg_mul(c, cg_div(c, n, by), by);
    return LLVMBuildICmp(c->b, LLVMIntEQ, back, n, "");
}

/* tile_grid as code. */
static Val
best_groups(Cg *c, const CgKernel *k, int64_t panels, Val tiles)
{
    const Val one = cg_i64(c, 1);
    const Val groups = cg_var(c, c->i64, one, "groups");
    const Val least = cg_var(c, c->i64, work_of(c, k, panels, tiles, one), "least");
    const Val end = cg_add(c, cg_min(c, k->threads, tiles), one);
    CgLoop try = cg_loop(c, "grid", cg_i64(c, 2), end, 1);
    CgIf even = cg_if(c, divides(c, try.i, k->threads));
    const Val work = work_of(c, k, panels, tiles, try.i);
    const Val better = cg_less(c, work, cg_get(c, c->i64, least));
    cg_set(c, groups, LLVMBuildSelect(c->b, better, try.i, cg_get(c, c->i64, groups), ""));
    cg_set(c, least, cg_min(c, work, cg_get(c, c->i64, least)));
    cg_endif(c, &even);
    cg_loop_end(c, &try);
    return cg_get(c, c->i64, groups);
}

/* By how much a thread's parts divide `rows` of its own: a power of two that divides their number,
 * the least that leaves no more than `most`, or the greatest there is. */
static Val
divided_further(Cg *c, const CgKernel *k, Val rows, int64_t most)
{
    const Attr *said = attrs_find(&k->kernel->attrs, ATTR_pieces);
    const Val pieces = cg_div(c, k->parts, k->threads);
    Val by = cg_i64(c, 1);
    for (int64_t next = 2; said && next <= said->i; next *= 2) {
        const Val many = cg_less(c, cg_i64(c, next / 2 * most), rows);
        const Val can = divides(c, cg_i64(c, next), pieces);
        by = LLVMBuildSelect(c->b, LLVMBuildAnd(c->b, many, can, ""), cg_i64(c, next), by, "");
    }
    return by;
}

CgGrid
cg_share_grid(Cg *c, const CgKernel *k, int64_t panels, Val rows, int64_t tile, int64_t most)
{
    CgGrid g;
    const Val first = best_groups(c, k, panels, cg_div_up(c, rows, cg_i64(c, tile)));
    const Val further = divided_further(c, k, cg_div_up(c, rows, first), most);
    const Val groups = cg_mul(c, first, further);
    const Val members = cg_div(c, k->parts, groups), group = cg_div(c, k->part, members);
    const Val member = cg_sub(c, k->part, cg_mul(c, group, members));
    cg_share_of(c, rows, tile, group, groups, g.rows);
    cg_share_of(c, cg_i64(c, panels), 1, member, members, g.panels);
    const Val before = cg_div(c, k->before, members);
    g.again = LLVMBuildAnd(c->b, cg_ran_before(c, k),
                           LLVMBuildICmp(c->b, LLVMIntEQ, before, group, ""), "");
    return g;
}
