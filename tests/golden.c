/* tests/golden.c -- see golden.h. */
#include "tests/golden.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/rt.h"
#include "tests/aot.h"

/* How far rows of logits are off, in units of max(1, standard deviation of the golden). */
typedef struct {
    double most, median;
} Off;

static int
by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static Off
deviation(const RtTensor *ours, const RtTensor *golden)
{
    const size_t n = golden->bytes / sizeof(float), width = (size_t)golden->dim[golden->rank - 1];
    const size_t rows = n / width;
    double sum = 0, squares = 0, *off = calloc(rows, sizeof *off);
    cr_assert(off && rows > 0);
    for (size_t i = 0; i < n; i++) {
        float a = 0, b = 0;
        memcpy(&a, (const char *)ours->data + i * sizeof a, sizeof a);
        memcpy(&b, (const char *)golden->data + i * sizeof b, sizeof b);
        sum += b;
        squares += (double)b * b;
        off[i / width] = isfinite(a) ? fmax(off[i / width], fabs((double)a - b)) : HUGE_VAL;
    }
    qsort(off, rows, sizeof *off, by_size);
    const double mean = sum / (double)n, unit = fmax(1, sqrt(squares / (double)n - mean * mean));
    const Off out = {off[rows - 1] / unit, off[rows / 2] / unit};
    free(off);
    return out;
}

/* typical: what half of the rows must keep to. */
static void
compare(const char *ours, const char *golden, double bound, double typical, const char *label)
{
    RtTensorFile *have = NULL, *want = NULL;
    cr_assert_eq(rt_tensors_open(ours, &have), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(rt_tensors_open(golden, &want), SSMC_OK, "%s", ssmc_error());
    int compared = 0;
    for (int i = 0; i < rt_tensors_count(want); i++) {
        const RtTensor *b = rt_tensors_at(want, i);
        if (strncmp(b->name, "logits_", 7) != 0)
            continue;
        const RtTensor *a = rt_tensors_find(have, b->name);
        cr_assert(a && a->bytes == b->bytes, "%s: no %s of that size", label, b->name);
        const Off off = deviation(a, b);
        cr_expect(off.most <= bound, "%s: %s is off by %g", label, b->name, off.most);
        cr_expect(off.median <= typical, "%s: half of the rows of %s are off by %g", label, b->name,
                  off.median);
        compared++;
    }
    cr_assert_gt(compared, 0);
    rt_tensors_close(have);
    rt_tensors_close(want);
}

void
golden_compare(const char *ours, const char *golden, double bound, const char *label)
{
    compare(ours, golden, bound, bound, label);
}

char *
golden_check(const char *model, const char *golden, const char *const *more, double bound)
{
    return golden_check_rows(model, golden, more, bound, bound);
}

char *
golden_check_rows(const char *model, const char *golden, const char *const *more, double bound,
                  double typical)
{
    enum { MOST = 24 };
    const char *argv[MOST] = {SSMC_BINARY, "logits", model, "--ids", golden, "--out"};
    char *dir = temp_dir(), *out = path_join(dir, "o.safetensors"), label[512];
    size_t n = 6, len = (size_t)snprintf(label, sizeof label, "%s", model);
    argv[n++] = out;
    for (; *more; more++) {
        cr_assert_lt(n, (size_t)MOST - 1);
        argv[n++] = *more;
        if (len < sizeof label)
            len += (size_t)snprintf(label + len, sizeof label - len, " %s", *more);
    }
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s: status %d\n%s", label, r.status, r.err);
    compare(out, golden, bound, typical, label);
    temp_dir_remove(dir);
    free(out);
    char *err = strdup(r.err);
    command_free(&r);
    return err;
}
