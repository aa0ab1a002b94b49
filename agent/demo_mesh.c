/* SPDX-License-Identifier: Apache-2.0 */
#include "demo_mesh.h"

#include "base/host/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_US = 20000000, STOP_MS = 10000, ARGS = 20 };
enum { PORT_MIN = 10000, PORT_TRIES = 1000 };

static bool is_free(uint16_t port, int type)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0) {
        return false;
    }
    if (type == SOCK_STREAM) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    bool is_free = bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    (void)close(fd);
    return is_free;
}

/* The ports that the kernel gives to clients. */
static void ephemeral_ports(unsigned *low, unsigned *high)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    *low = 32768;
    *high = 60999;
    if (file != NULL) {
        SH_MAY_FAIL(fscanf(file, "%u %u", low, high) == 2); /* then the usual ones */
        (void)fclose(file);
    }
}

/* A port that is free with its neighbour (the bulk plane's). None that the kernel could give to a
 * client meanwhile: an agent that is killed finds its own again. 0: none found. */
static uint16_t free_port(void)
{
    unsigned low = 0;
    unsigned high = 0;
    ephemeral_ports(&low, &high);
    for (int attempt = 0; attempt < PORT_TRIES; attempt++) {
        unsigned port = PORT_MIN + (unsigned)(sh_random_u64() % (UINT16_MAX - PORT_MIN));
        bool ephemeral = port + 1 >= low && port <= high;
        if (!ephemeral && is_free((uint16_t)port, SOCK_STREAM) &&
            is_free((uint16_t)port, SOCK_DGRAM) && is_free((uint16_t)(port + 1), SOCK_STREAM)) {
            return (uint16_t)port;
        }
    }
    return 0;
}

static _Noreturn void become_agent(const struct demo_mesh *mesh, const struct demo_agent *agent,
                                   const char *join)
{
    char secret[AGENT_PATH_MAX + 128];
    char log[AGENT_PATH_MAX + 128];
    (void)snprintf(secret, sizeof secret, "%s/secret", mesh->dir);
    (void)snprintf(log, sizeof log, "%s/%s.log", mesh->dir, agent->name);
    const char *args[ARGS] = {"shoal",  "agent",    "--secret", secret,
                              "--data", agent->dir, "--listen", agent->addr,
                              "--api",  agent->api, "--name",   agent->name};
    size_t count = 12;
    args[count++] = join == NULL ? "--new" : "--join";
    args[count++] = join;
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
    }
    (void)execv("/proc/self/exe", (char *const *)(uintptr_t)args);
    _exit(127);
}

/* True once something accepts connections there. */
static bool answers(const char *api)
{
    unsigned port = (unsigned)strtoul(strrchr(api, ':') + 1, NULL, 10);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool open = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return open;
}

/* Readable once the process has ended. */
static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Waits for the API; false when the process ends first or the time is over. */
static bool wait_until_up(struct demo_agent *agent)
{
    uint64_t deadline = sh_now_us() + START_US;
    struct pollfd ended = {.fd = open_pidfd(agent->pid), .events = POLLIN};
    bool up = false;
    while (!up && sh_now_us() < deadline) {
        up = answers(agent->api);
        if (!up && poll(&ended, 1, 20) != 0) {
            break;
        }
    }
    if (ended.fd >= 0) {
        (void)close(ended.fd);
    }
    return up;
}

/* The last line of an agent's journal, for people. */
static void last_words(const struct demo_mesh *mesh, const struct demo_agent *agent, char *out,
                       size_t size)
{
    char path[AGENT_PATH_MAX + 128];
    char line[512];
    (void)snprintf(path, sizeof path, "%s/%s.log", mesh->dir, agent->name);
    FILE *file = fopen(path, "re");
    (void)snprintf(out, size, "agent %s did not start", agent->name);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(out, size, "agent %s did not start: %.200s", agent->name, line);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

enum sh_err demo_agent_start(struct demo_mesh *mesh, const char *name, size_t join, char *why)
{
    SH_CHECK_CMP(mesh->count, <, DEMO_AGENTS_MAX);
    struct demo_agent *agent = &mesh->agents[mesh->count];
    char dir[sizeof mesh->dir]; /* a copy: the compiler cannot see that the two do not overlap */
    memcpy(dir, mesh->dir, sizeof dir);
    uint16_t port = free_port();
    uint16_t api = free_port();
    (void)snprintf(agent->name, sizeof agent->name, "%s", name);
    (void)snprintf(agent->dir, sizeof agent->dir, "%.1023s/%s", dir, name);
    (void)snprintf(agent->addr, sizeof agent->addr, "127.0.0.1:%u", (unsigned)port);
    (void)snprintf(agent->api, sizeof agent->api, "127.0.0.1:%u", (unsigned)api);
    if (port == 0 || api == 0) {
        (void)snprintf(why, 256, "no free ports on loopback");
        return SH_ERR_IN_USE;
    }
    agent->pid = fork();
    if (agent->pid == 0) {
        become_agent(mesh, agent, mesh->count == 0 ? NULL : mesh->agents[join].addr);
    }
    if (agent->pid < 0) {
        (void)snprintf(why, 256, "fork: %s", strerror(errno));
        return sh_err_from_errno(errno);
    }
    mesh->count++;
    if (!wait_until_up(agent)) {
        last_words(mesh, agent, why, 256);
        demo_agent_kill(agent);
        return SH_ERR_TIMEOUT;
    }
    return SH_OK;
}

void demo_agent_kill(struct demo_agent *agent)
{
    if (agent->pid > 0) {
        (void)kill(agent->pid, SIGKILL);
        while (waitpid(agent->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        agent->pid = 0;
    }
}

void demo_mesh_stop(struct demo_mesh *mesh)
{
    for (size_t i = 0; i < mesh->count; i++) {
        if (mesh->agents[i].pid > 0) {
            (void)kill(mesh->agents[i].pid, SIGTERM);
        }
    }
    uint64_t deadline = sh_now_us() + (uint64_t)STOP_MS * 1000;
    for (size_t i = 0; i < mesh->count; i++) {
        struct demo_agent *agent = &mesh->agents[i];
        if (agent->pid <= 0) {
            continue;
        }
        uint64_t now = sh_now_us();
        int left_ms = now < deadline ? (int)((deadline - now) / 1000) : 0;
        struct pollfd ended = {.fd = open_pidfd(agent->pid), .events = POLLIN};
        (void)poll(&ended, 1, left_ms);
        if (ended.fd >= 0) {
            (void)close(ended.fd);
        }
        demo_agent_kill(agent); /* also collects one that has ended by itself */
    }
}
