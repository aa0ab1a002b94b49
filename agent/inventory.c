/* SPDX-License-Identifier: Apache-2.0 */
#include "inventory.h"

#include "base/host/host.h"
#include "kernels/kn.h"

#include "exec/tree.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

static uint16_t usable_cores(uint32_t threads)
{
    cpu_set_t set;
    int cores = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        cores = CPU_COUNT(&set);
    }
    if (threads > 0 && (int)threads < cores) {
        cores = (int)threads;
    }
    return (uint16_t)cores;
}

/* Asks the driver, where there is one; a machine without libcuda.so.1 is a normal one. */
static void read_gpus(struct wire_node *node)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (driver == NULL) {
        return;
    }
    int (*init)(unsigned);
    int (*count)(int *);
    int (*name)(char *, int, int);
    int (*memory)(size_t *, int);
    *(void **)&init = dlsym(driver, "cuInit");
    *(void **)&count = dlsym(driver, "cuDeviceGetCount");
    *(void **)&name = dlsym(driver, "cuDeviceGetName");
    *(void **)&memory = dlsym(driver, "cuDeviceTotalMem_v2");
    int gpus = 0;
    size_t bytes = 0;
    char text[128] = "";
    if (init != NULL && count != NULL && name != NULL && memory != NULL && init(0) == 0 &&
        count(&gpus) == 0 && gpus > 0 && name(text, sizeof text, 0) == 0 &&
        memory(&bytes, 0) == 0) {
        node->gpus = (uint8_t)(gpus > 255 ? 255 : gpus);
        node->gpu_bytes = bytes;
        (void)snprintf(node->gpu, sizeof node->gpu, "%.*s", (int)WIRE_GPU_NAME_MAX, text);
    }
    (void)dlclose(driver);
}

size_t inventory_class_text(char *out, size_t size)
{
    char text[KN_CLASS_BYTES];
    struct kn_diag diag;
    if (kn_class(text, &diag) != KN_OK) {
        (void)snprintf(text, sizeof text, "no arithmetic: %s", diag.text);
    }
    int n = snprintf(out, size, "%s", text);
    return n < 0 ? 0 : (size_t)n;
}

static const char *isa_name(void)
{
    const char *name = kn_ops_cpu()->name; /* "cpu-v4" */
    return strncmp(name, "cpu-", 4) == 0 ? name + 4 : name;
}

void inventory_read(struct wire_node *node, uint32_t threads)
{
    struct sysinfo info;
    node->cpus = usable_cores(threads);
    if (sysinfo(&info) == 0) {
        node->ram_bytes = (uint64_t)info.totalram * info.mem_unit;
    }
    (void)snprintf(node->version, sizeof node->version, "%s", SHOAL_VERSION);
    struct utsname name;
    if (uname(&name) == 0) {
        (void)snprintf(node->arch, sizeof node->arch, "%.*s", (int)WIRE_ARCH_MAX, name.machine);
    }
    (void)snprintf(node->isa, sizeof node->isa, "%s", isa_name());
    char class[KN_CLASS_BYTES];
    size_t size = inventory_class_text(class, sizeof class);
    sh_blake2b(node->class, WIRE_CLASS_BYTES, class, size);
    read_gpus(node);
}

static uint64_t ticks_of(const struct rusage *used)
{
    uint64_t us = (uint64_t)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000u +
                  (uint64_t)(used->ru_utime.tv_usec + used->ru_stime.tv_usec);
    return us * (uint64_t)sysconf(_SC_CLK_TCK) / 1000000u;
}

/* Of this process, its descendants, and those of them that have ended. */
static uint64_t own_ticks(void)
{
    struct rusage self = {0};
    struct rusage ended = {0};
    struct exec_tree tree = {0};
    (void)getrusage(RUSAGE_SELF, &self);
    (void)getrusage(RUSAGE_CHILDREN, &ended);
    uint64_t sum = ticks_of(&self) + ticks_of(&ended);
    if (exec_tree_read(&tree, getpid()) == SH_OK) {
        sum += exec_tree_ticks(&tree);
    }
    exec_tree_close(&tree);
    return sum;
}

uint16_t inventory_load(struct inventory_load *last)
{
    FILE *file = fopen("/proc/stat", "re");
    unsigned long long user;
    unsigned long long nice;
    unsigned long long system;
    unsigned long long idle;
    unsigned long long wait;
    if (file == NULL) {
        return 0;
    }
    int read = fscanf(file, "cpu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait);
    (void)fclose(file);
    if (read != 5) {
        return 0;
    }
    struct inventory_load now = {.busy = user + nice + system,
                                 .own = own_ticks(),
                                 .total = user + nice + system + idle + wait};
    struct inventory_load before = *last;
    *last = now;
    uint64_t total = now.total - before.total;
    if (before.total == 0 || total == 0) {
        return 0;
    }
    uint64_t busy = now.busy - before.busy;
    uint64_t own = now.own > before.own ? now.own - before.own : 0;
    return (uint16_t)((busy > own ? busy - own : 0) * 1000u / total);
}
