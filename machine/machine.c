/* machine/machine.c -- CPUs by name, and what follows from their features (machine/machine.h).
 *
 * LLVM's C API cannot say whether it knows a name (it prints and goes on with something else), and
 * passes need numbers that LLVM does not publish: hence a table. */
#include "machine/machine.h"
#include "runtime/permit.h"

#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *triple;
} arch_info[ARCHS] = {
    [ARCH_x86_64] = {"x86_64",  "x86_64-unknown-linux-gnu" },
    [ARCH_aarch64] = {"aarch64", "aarch64-unknown-linux-gnu"},
};

typedef struct {
    const char *name; /* first: nearest_name reads it */
    Arch arch;
    int64_t l1_kib, l2_kib;
    uint64_t features;
} Cpu;

static const Cpu cpus[] = {
#define CPU(name, arch, l1, l2, features) {name, ARCH_##arch, l1, l2, features},
#include "machine/cpus.def"
#undef CPU
};

static const struct {
    Arch arch;
    const char *llvm;
} feature_table[ABI_FEATURES] = {
#define FEATURE(bit, arch, id, llvm, test) [ABI_HAS_##id] = {ARCH_##arch, llvm},
#include "runtime/features.def"
#undef FEATURE
};

static const Cpu *
cpu_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(cpus); i++)
        if (strcmp(cpus[i].name, name) == 0)
            return &cpus[i];
    return NULL;
}

const char *
machine_names_near(Arena *arena, const char *name)
{
    const char *near = nearest_name(name, cpus, COUNT_OF(cpus), sizeof cpus[0]);
    if (near)
        return arena_printf(arena, "did you mean `%s`?", near);
    StrBuf sb = {0};
    sb_puts(&sb, "known are native");
    for (size_t i = 0; i < COUNT_OF(cpus); i++)
        sb_printf(&sb, ", %s", cpus[i].name);
    const char *text = arena_strndup(arena, sb_text(&sb), sb.len);
    sb_free(&sb);
    return text;
}

/* ---- what follows from features ------------------------------------------------------------ */

static bool
has(const Machine *m, uint64_t bits)
{
    return (m->features & bits) == bits;
}

static const struct {
    MatrixUnit unit;
    uint64_t needs, bf16, i8;
} matrix_units[MATRIX_UNITS] = {
#define MATRIX(id, name, unit, bf16, i8, tiles, rows, row_bytes)                                   \
    [MATRIX_##id] = {                                                                              \
        {MATRIX_##id, name, false, false, false, tiles, rows, row_bytes}, \
        unit, bf16, i8 \
    },
#include "machine/matrix.def"
#undef MATRIX
};

/* AVX-512 is used from its server set on (F, VL, BW, DQ): what x86-64-v4 has, and what
 * single-instruction masks of every element size need. Of aarch64 NEON: SVE registers hold NEON's.
 */
static void
derive(Machine *m)
{
    const bool x86 = m->arch == ARCH_x86_64;
    const bool wide =
        has(m, ABI_BIT(avx512f) | ABI_BIT(avx512vl) | ABI_BIT(avx512bw) | ABI_BIT(avx512dq));
    m->fma = !x86 || has(m, ABI_BIT(fma) | ABI_BIT(avx2));
    m->vector_bytes = wide ? 64 : x86 && m->fma ? 32 : 16;
    m->vector_registers = wide || !x86 ? 32 : 16;
    m->bf16_dot = x86 ? wide && has(m, ABI_BIT(avx512bf16)) : has(m, ABI_BIT(bf16));
    m->i8_dot = !x86   ? has(m, ABI_BIT(i8mm))
                : wide ? has(m, ABI_BIT(avx512vnni))
                       : m->fma && has(m, ABI_BIT(avxvnni));
    for (int i = MATRIX_none + 1; i < MATRIX_UNITS; i++) {
        if (!has(m, matrix_units[i].needs) || !wide)
            continue;
        m->matrix = matrix_units[i].unit;
        m->matrix.bf16 = has(m, matrix_units[i].bf16);
        m->matrix.i8 = has(m, matrix_units[i].i8);
    }
    m->panels = m->matrix;
    m->costs = costs_shipped(m);
}

/* Features that belong to matrix units. */
static uint64_t
unit_features(void)
{
    uint64_t bits = 0;
    for (int i = MATRIX_none + 1; i < MATRIX_UNITS; i++)
        bits |= matrix_units[i].needs | matrix_units[i].bf16 | matrix_units[i].i8;
    return bits;
}

uint64_t
machine_needs(const Machine *machine)
{
    const bool used = machine->matrix.kind != MATRIX_none && !machine->matrix.model;
    return machine->features & ~(used ? 0 : unit_features());
}

bool
machine_matrix(Machine *m, const char *word)
{
    if (strcmp(word, "auto") == 0)
        return true;
    if (strcmp(word, "none") == 0) {
        m->matrix = (MatrixUnit){0};
        m->refused = NULL;
    } else if (strcmp(word, "model") == 0) {
        m->matrix = matrix_units[MATRIX_amx].unit;
        m->matrix.bf16 = m->matrix.i8 = m->matrix.model = true;
        m->refused = NULL;
    } else {
        return false;
    }
    m->panels = m->matrix;
    m->costs = costs_shipped(m);
    return true;
}

/* ---- GPUs ----------------------------------------------------------------------------------- */

static const Gpu gpus[GPUS] = {
#define GPU(id, name, capability, ptx, shared, chunk, solved, block, units, f32, bf16, memory)     \
    [GPU_##id] = {GPU_##id, name,  capability, ptx,  shared, chunk, solved,                        \
                  block,    units, f32,        bf16, memory, false},
#include "machine/gpus.def"
#undef GPU
};

/* The model has few multiprocessors, so that small products have work for all of them, and as much
 * shared memory as the GPU that has most. */
enum { MODEL_UNITS = 4 };

bool
machine_gpu(Machine *m, const char *word)
{
    m->gpu = (Gpu){0};
    if (strcmp(word, "cpu") == 0)
        return true;
    const bool model = strcmp(word, "model") == 0, any = strcmp(word, "cuda") == 0;
    for (int i = GPU_none + 1; i < GPUS; i++)
        if (model || any || strcmp(word, gpus[i].name) == 0) {
            m->gpu = gpus[i];
            m->gpu.model = model;
            if (model) {
                m->gpu.units = MODEL_UNITS;
                m->gpu.shared_bytes = gpus[GPUS - 1].shared_bytes;
            }
            return true;
        }
    return false;
}

/* What is for one capability alone runs on that one. */
static bool
gpu_runs_on(const Gpu *gpu, int capability)
{
    const bool alone = gpu->name[strlen(gpu->name) - 1] == 'a';
    return alone ? gpu->capability == capability : gpu->capability <= capability;
}

bool
machine_gpu_found(Machine *m, int capability)
{
    bool found = false;
    for (int i = GPU_none + 1; i < GPUS; i++)
        if (gpu_runs_on(&gpus[i], capability) &&
            (!found || gpus[i].capability >= m->gpu.capability)) {
            m->gpu = gpus[i];
            found = true;
        }
    return found;
}

Machine
machine_of_gpu(const Machine *m)
{
    Machine out = *m;
    out.vector_bytes = (int)sizeof(float);
    out.bf16_dot = out.i8_dot = false;
    out.matrix = out.panels = (MatrixUnit){0};
    if (m->gpu.model)
        return out;
    out.cpu = m->gpu.name;
    out.llvm = m->gpu.ptx;
    out.triple = "nvptx64-nvidia-cuda";
    out.arch = ARCHS; /* none of the CPUs' */
    out.features = 0;
    out.fma = true;
    return out;
}

void
machine_vectors(Machine *m)
{
    m->matrix = (MatrixUnit){0};
    m->costs = costs_shipped(m);
}

static Machine
of_cpu(const Cpu *cpu)
{
    return (Machine){.cpu = cpu->name,
                     .llvm = "",
                     .triple = arch_info[cpu->arch].triple,
                     .arch = cpu->arch,
                     .features = cpu->features,
                     .l1_bytes = cpu->l1_kib * 1024,
                     .l2_bytes = cpu->l2_kib * 1024};
}

bool
machine_named(const char *name, Machine *out)
{
    const Cpu *cpu = cpu_find(name);
    if (!cpu)
        return false;
    *out = of_cpu(cpu);
    derive(out);
    return true;
}

/* ---- native -------------------------------------------------------------------------------- */

static int
bits_in(uint64_t set)
{
    int count = 0;
    for (; set; set &= set - 1)
        count++;
    return count;
}

/* Is `+name` an item of LLVM's list "+sse2,-avx,..."? */
static bool
list_has(const char *features, const char *name)
{
    const size_t len = strlen(name);
    for (const char *p = features; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (*p == '+' && strncmp(p + 1, name, len) == 0 && (p[1 + len] == ',' || !p[1 + len]))
            return true;
    }
    return false;
}

/* Bytes of a cache, or what the table says where the system does not. */
static int64_t
cache_bytes(int which, int64_t otherwise)
{
    const long bytes = sysconf(which);
    return bytes > 0 ? bytes : otherwise;
}

/* The CPU of the table with the most features of this machine, and no other; the first of
 * several. The base of the architecture, which needs none, always fits. */
static const Cpu *
cpu_nearest(Arch arch, uint64_t features)
{
    const Cpu *best = NULL;
    for (size_t i = 0; i < COUNT_OF(cpus); i++) {
        const Cpu *cpu = &cpus[i];
        if (cpu->arch != arch || (cpu->features & ~features & ~unit_features()) != 0)
            continue;
        if (!best || bits_in(cpu->features) > bits_in(best->features))
            best = cpu;
    }
    return best;
}

/* The features decide what code is made. The name schedules instructions and finds measured
 * constants: where LLVM does not know the CPU (a new one, or a hypervisor's), the nearest one
 * serves. */
bool
machine_native(const char *cpu, const char *llvm, const char *triple, bool allowed, Machine *out)
{
    int arch = 0;
    while (arch < ARCHS && strncmp(triple, arch_info[arch].name, strlen(arch_info[arch].name)) != 0)
        arch++;
    if (arch == ARCHS)
        return false;
    uint64_t features = 0;
    for (int i = 0; i < ABI_FEATURES; i++)
        if (feature_table[i].arch == (Arch)arch && list_has(llvm, feature_table[i].llvm))
            features |= UINT64_C(1) << i;
    const char *refused = NULL;
    for (int i = MATRIX_none + 1; i < MATRIX_UNITS; i++)
        if (features & matrix_units[i].needs && !allowed)
            refused = matrix_units[i].unit.name;
    if (features & ABI_BIT(amxtile) && allowed)
        features |= ABI_BIT(amxpermission);
    const Cpu *known = cpu_find(cpu);
    const bool generic = !known || known->arch != (Arch)arch || known->features == 0;
    *out = of_cpu(generic ? cpu_nearest((Arch)arch, features) : known);
    out->native = true;
    out->llvm = llvm;
    out->triple = triple;
    out->features = features;
    out->refused = refused;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    out->l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, out->l1_bytes);
    out->l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, out->l2_bytes);
#endif
    derive(out);
    return true;
}

const char *
machine_note(Arena *arena, const Machine *machine)
{
    if (!machine->refused)
        return NULL;
    return arena_printf(arena, "this process may not use %s" ABI_REFUSED, machine->refused);
}

/* ---- comparing ------------------------------------------------------------------------------ */

bool
machine_asks_more(const Machine *a, const Machine *b)
{
    if (a->vector_bytes != b->vector_bytes)
        return a->vector_bytes > b->vector_bytes;
    if (a->bf16_dot != b->bf16_dot)
        return a->bf16_dot;
    if (a->i8_dot != b->i8_dot)
        return a->i8_dot;
    if (a->matrix.kind != b->matrix.kind)
        return a->matrix.kind != MATRIX_none;
    return bits_in(machine_needs(a)) > bits_in(machine_needs(b));
}

const char *
machine_lacks(const Machine *host, const Machine *machine)
{
    if (host->arch != machine->arch)
        return "its architecture";
    const uint64_t lacks = machine_needs(machine) & ~host->features;
    for (int i = 0; i < ABI_FEATURES; i++)
        if (lacks >> i & 1)
            return feature_table[i].llvm;
    return NULL;
}

void
machine_put_features(StrBuf *out, const Machine *machine, size_t indent, size_t width)
{
    size_t column = indent;
    for (int i = 0; i < ABI_FEATURES; i++) {
        if (!(machine->features >> i & 1))
            continue;
        const size_t len = strlen(feature_table[i].llvm);
        if (column > indent && column + 1 + len > width) {
            sb_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        }
        sb_printf(out, "%s%s", column > indent ? " " : "", feature_table[i].llvm);
        column += len + (column > indent);
    }
}

int64_t
machine_lanes(const Machine *machine)
{
    const int64_t lanes = machine->vector_bytes / (int64_t)sizeof(float);
    return lanes > 0 ? lanes : 1;
}

int64_t
machine_alignment(const Machine *machine)
{
    enum { LINE = 64 };
    return machine->panels.kind != MATRIX_none ? 2 * LINE : LINE;
}

int64_t
machine_row_bytes(const Machine *machine, int64_t bytes)
{
    enum { SHORT = 512 };
    return machine->panels.kind == MATRIX_none || bytes < SHORT ? bytes : odd_lines(bytes);
}
