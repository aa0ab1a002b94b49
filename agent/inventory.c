/* SPDX-License-Identifier: Apache-2.0 */
#include "inventory.h"

#include "base/host/host.h"
#include "kernels/kn.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

enum { SLOTS = 4 }; /* units an agent runs at a time */

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
    node->slots = SLOTS;
    if (sysinfo(&info) == 0) {
        node->ram_bytes = (uint64_t)info.totalram * info.mem_unit;
    }
    (void)snprintf(node->version, sizeof node->version, "%s", SHOAL_VERSION);
    (void)snprintf(node->isa, sizeof node->isa, "%s", isa_name());
    char class[KN_CLASS_BYTES];
    size_t size = inventory_class_text(class, sizeof class);
    sh_blake2b(node->class, WIRE_CLASS_BYTES, class, size);
    read_gpus(node);
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
                                 .total = user + nice + system + idle + wait};
    struct inventory_load before = *last;
    *last = now;
    uint64_t total = now.total - before.total;
    if (before.total == 0 || total == 0) {
        return 0;
    }
    return (uint16_t)((now.busy - before.busy) * 1000u / total);
}
