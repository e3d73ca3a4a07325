// SPDX-License-Identifier: Apache-2.0
//
// pods MOUNT ROOT VERSION N P KB makes N pods of one container each below ROOT,
// named as kubelet names them, with P sleeping processes of KB KiB in each, and
// prints "ready". Then it obeys lines: "churn" replaces the oldest pod, "kill"
// has a process killed at the limit of a group made for that, "spawn" replaces
// one process of the oldest pod, "stir PERCENT" has one process in each of so many
// pods, drawn anew each time, take STIR KiB more or give them back. It ends with its
// input or by SIGTERM, and then takes away what it made; its processes die with it in
// any case.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *comms[] = {"nginx", "postgres", "java", "redis-server", "envoy", "python3", "node", "php-fpm", "kafka", "etcd"};
static const char *adjs[] = {"0", "100", "2", "500", "900", "999", "1000", "300", "2", "0"};

#define STIR 512 /* more than a CPU charges ahead. */

struct pod {
	char dir[256], container[400];
	pid_t *pids;
};

static const char *mount, *root;
static int version, n, p, kb, made;
static unsigned long number;
static struct pod *pods;
static volatile sig_atomic_t ended;

static void stop(int sig) { (void)sig; ended = 1; }

static int put(const char *dir, const char *name, const char *text) {
	char path[512];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int ok = write(fd, text, strlen(text)) < 0 ? -1 : 0;
	close(fd);
	return ok;
}

static void group(const char *dir, long long limit) {
	if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
		perror(dir);
		ended = 2;
	}
	char text[32];
	snprintf(text, sizeof text, "%lld", limit);
	if (limit > 0)
		put(dir, version == 1 ? "memory.limit_in_bytes" : "memory.max", text);
}

static void delegate(const char *dir) {
	if (version == 2)
		put(dir, "cgroup.subtree_control", "+memory");
}

static volatile char *stirred;

// onStir takes memory, or gives back what it took.
static void onStir(int sig) {
	(void)sig;
	if (stirred) {
		munmap((void *)stirred, STIR << 10);
		stirred = 0;
		return;
	}
	stirred = mmap(0, STIR << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (stirred == MAP_FAILED)
		stirred = 0;
}

// spawn starts a process in the cgroup in which we are.
static pid_t spawn(unsigned long k, int kib) {
	pid_t parent = getpid(), pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	signal(SIGTERM, SIG_DFL);
	signal(SIGUSR1, onStir);
	prctl(PR_SET_NAME, comms[k % 10]);
	put("/proc/self", "oom_score_adj", adjs[k / 10 % 10]);
	close(0);
	close(1);
	size_t size = (size_t)kib << 10;
	volatile char *mem = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < size; i += 4096)
		mem[i] = 1;
	for (;;)
		pause();
}

static void enter(const char *dir) {
	if (put(dir, "cgroup.procs", "0") < 0) {
		perror(dir);
		ended = 2;
	}
}

static void build(struct pod *d) {
	unsigned long k = number++;
	snprintf(d->dir, sizeof d->dir, "%s/kubepods/burstable/pod%08lx-0000-4000-8000-%012lx", root, k, k);
	snprintf(d->container, sizeof d->container, "%s/%012lx%052lx", d->dir, k + 0xabcdef, k);
	long long limit = k % 10 == 9 ? 0 : 256 << 20;
	group(d->dir, limit);
	delegate(d->dir);
	group(d->container, limit);
	enter(d->container);
	for (int i = 0; i < p && !ended; i++)
		d->pids[i] = spawn(k * 10 + i, kb);
}

static void drop(const char *dir) {
	for (int i = 0; i < 500 && rmdir(dir) < 0 && errno == EBUSY; i++)
		usleep(10000);
}

static void end(struct pod *d) {
	for (int i = 0; i < p; i++)
		if (d->pids[i] > 0)
			kill(d->pids[i], SIGKILL);
	for (int i = 0; i < p; i++)
		if (d->pids[i] > 0)
			waitpid(d->pids[i], 0, 0);
	drop(d->container);
	drop(d->dir);
}

static void churn(int processOnly) {
	static int oldest;
	struct pod *d = &pods[oldest++ % n];
	if (processOnly) {
		kill(d->pids[0], SIGKILL);
		waitpid(d->pids[0], 0, 0);
		enter(d->container);
		d->pids[0] = spawn(number, kb);
	} else {
		enter(mount);
		end(d);
		build(d);
	}
	enter(mount);
}

static void stir(int percent) {
	static unsigned long seed = 11;
	for (int i = 0; i < n; i++) {
		seed = seed * 6364136223846793005 + 1442695040888963407;
		if ((int)((seed >> 33) % 100) < percent)
			kill(pods[i].pids[0], SIGUSR1);
	}
	usleep(20000); // until they have.
}

// overrun has the kernel kill a process of 32 MiB in a group of 8 MiB.
static void overrun(void) {
	char dir[256];
	snprintf(dir, sizeof dir, "%s/overrun", root);
	group(dir, 8 << 20);
	enter(dir);
	pid_t pid = spawn(number, 32 << 10);
	enter(mount);
	for (int i = 0; i < 500 && waitpid(pid, 0, WNOHANG) == 0; i++)
		usleep(10000);
	kill(pid, SIGKILL);
	drop(dir);
}

int main(int argc, char **argv) {
	if (argc != 7)
		return 2;
	mount = argv[1], root = argv[2], version = atoi(argv[3]), n = atoi(argv[4]), p = atoi(argv[5]), kb = atoi(argv[6]);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	struct sigaction act = {.sa_handler = stop};
	sigaction(SIGTERM, &act, 0);
	sigaction(SIGINT, &act, 0);
	char kubepods[200], burstable[256];
	snprintf(kubepods, sizeof kubepods, "%s/kubepods", root);
	snprintf(burstable, sizeof burstable, "%s/burstable", kubepods);
	delegate(mount);
	group(root, 0);
	delegate(root);
	group(kubepods, 0);
	delegate(kubepods);
	group(burstable, 0);
	delegate(burstable);
	pods = calloc(n, sizeof *pods);
	for (; made < n && !ended; made++) {
		pods[made].pids = calloc(p, sizeof(pid_t));
		build(&pods[made]);
	}
	enter(mount);
	if (!ended)
		dprintf(1, "ready\n");
	char line[64];
	for (int got = 0; !ended;) {
		ssize_t r = read(0, line + got, 1);
		if (r == 0 || (r < 0 && errno != EINTR))
			break;
		if (r < 0 || (line[got] != '\n' && ++got < (int)sizeof line))
			continue;
		line[got] = 0, got = 0;
		if (strcmp(line, "kill") == 0)
			overrun();
		else if (strncmp(line, "stir ", 5) == 0)
			stir(atoi(line + 5));
		else
			churn(strcmp(line, "spawn") == 0);
		dprintf(1, "ok\n");
	}
	enter(mount);
	for (int i = 0; i < made; i++)
		end(&pods[i]);
	drop(burstable);
	drop(kubepods);
	drop(root);
	return ended == 2;
}
