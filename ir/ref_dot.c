/* ir/ref_dot.c -- the sums of all products of references: contiguous rows, whose lengths their
 * callers take from shapes. Nothing else is here, as this file alone is built without sanitizers:
 * checks of each element are most of what a test under them would take. */
#include "ir/ref.h"

/* Four running sums: the compiler may not reorder a single one. */
double
ref_dot(const double *a, const double *b, int64_t n)
{
    double sum[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; j++)
            sum[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void
ref_dots(const double *x, int64_t rows, const double *w, int64_t n, double *y, int64_t stride)
{
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const double *const row[4] = {x + r * n, x + (r + 1) * n, x + (r + 2) * n, x + (r + 3) * n};
        double sum[4][4] = {{0}};
        int64_t i = 0;
        for (; i + 4 <= n; i += 4)
            for (int k = 0; k < 4; k++)
                for (int j = 0; j < 4; j++)
                    sum[k][j] += row[k][i + j] * w[i + j];
        for (; i < n; i++)
            for (int k = 0; k < 4; k++)
                sum[k][0] += row[k][i] * w[i];
        for (int k = 0; k < 4; k++)
            y[(r + k) * stride] = (sum[k][0] + sum[k][1]) + (sum[k][2] + sum[k][3]);
    }
    for (; r < rows; r++)
        y[r * stride] = ref_dot(x + r * n, w, n);
}
