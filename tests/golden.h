/* tests/golden.h -- comparing logits of the command with those of another implementation: files of
 * ids_K and logits_K. */
#ifndef SSMC_TESTS_GOLDEN_H
#define SSMC_TESTS_GOLDEN_H

/* Numbers of f32 that may differ from those of the golden, in units of max(1, standard deviation).
 */
#define GOLDEN_F32 2e-4

/* Every logits_K of the file `golden` is in the file `ours`, and no number of it is off by more
 * than `bound` units. label: what messages call it. */
void golden_compare(const char *ours, const char *golden, double bound, const char *label);

/* `ssmc logits MODEL --ids GOLDEN` with further arguments, NULL-terminated; it must end with status
 * 0 and its logits be those of the golden. What it wrote to stderr; owned by the caller. */
char *golden_check(const char *model, const char *golden, const char *const *more, double bound);
/* The same, and half of the rows of logits are off by `typical` at most. */
char *golden_check_rows(const char *model, const char *golden, const char *const *more,
                        double bound, double typical);

#endif
