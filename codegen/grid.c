/* codegen/grid.c -- how threads divide a projection: groups of them by rows, members of a group by
 * panels of the weight (part=grid).
 *
 * By panels alone, 12 panels keep 12 of 16 threads busy, and 53 give four to some and three to
 * others; by rows alone, every thread walks all of the weight. Of the ways to write the number of
 * threads as groups x members the one whose busiest thread has least to do is taken, each time a
 * kernel runs: it depends on T. Sums run over all of K in one thread whatever the way, so that the
 * bits do not depend on it.
 *
 * Work is counted in quarters of a register tile: a tile is 4; to walk a panel that is not in the
 * second-level cache costs about as much as two more tiles with it (196 KiB at 25 GB/s beside
 * 0.6 MFLOP at 130 GFLOP/s); to stage the rows of a tile, about 1. */
#include "codegen/tile.h"

enum { TILE = 4, PANEL_TILES = 2, STAGE = 1 };

static Val
round_up_div(Cg *c, Val n, Val by)
{
    return cg_div(c, cg_add(c, n, cg_sub(c, by, cg_i64(c, 1))), by);
}

/* Of the busiest thread where `groups` divide the rows and as many members as are left the panels.
 */
static Val
work_of(Cg *c, const CgKernel *k, int64_t panels, Val tiles, Val groups)
{
    const Val each = round_up_div(c, cg_i64(c, panels), cg_div(c, k->parts, groups));
    const Val rows = round_up_div(c, tiles, groups);
    const Val walked = cg_mul(c, each, cg_add(c, rows, cg_i64(c, PANEL_TILES)));
    return cg_add(c, cg_mul(c, walked, cg_i64(c, TILE)), cg_mul(c, rows, cg_i64(c, STAGE)));
}

static Val
divides(Cg *c, Val by, Val n)
{
    const Val back = cg_mul(c, cg_div(c, n, by), by);
    return LLVMBuildICmp(c->b, LLVMIntEQ, back, n, "");
}

/* The number of groups: no more than there are tiles. */
static Val
best_groups(Cg *c, const CgKernel *k, int64_t panels, Val tiles)
{
    const Val one = cg_i64(c, 1);
    const Val groups = cg_var(c, c->i64, one, "groups");
    const Val least = cg_var(c, c->i64, work_of(c, k, panels, tiles, one), "least");
    const Val end = cg_add(c, cg_min(c, k->parts, tiles), one);
    CgLoop try = cg_loop(c, "grid", cg_i64(c, 2), end, 1);
    CgIf even = cg_if(c, divides(c, try.i, k->parts));
    const Val work = work_of(c, k, panels, tiles, try.i);
    const Val better = cg_less(c, work, cg_get(c, c->i64, least));
    cg_set(c, groups, LLVMBuildSelect(c->b, better, try.i, cg_get(c, c->i64, groups), ""));
    cg_set(c, least, cg_min(c, work, cg_get(c, c->i64, least)));
    cg_endif(c, &even);
    cg_loop_end(c, &try);
    return cg_get(c, c->i64, groups);
}

CgGrid
cg_share_grid(Cg *c, const CgKernel *k, int64_t panels, Val rows, int64_t tile)
{
    CgGrid g;
    const Val groups = best_groups(c, k, panels, round_up_div(c, rows, cg_i64(c, tile)));
    const Val members = cg_div(c, k->parts, groups), group = cg_div(c, k->part, members);
    const Val member = cg_sub(c, k->part, cg_mul(c, group, members));
    cg_share_of(c, rows, tile, group, groups, g.rows);
    cg_share_of(c, cg_i64(c, panels), 1, member, members, g.panels);
    return g;
}
