// SPDX-License-Identifier: Apache-2.0

// storm makes OOM kills in memory cgroups by a plan and says who died where.
// It is static C: a kill must cost less than what it is to measure.
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
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: storm LIMIT_FILE LIMIT <PLAN >RESULT\n"
	"A line of the plan is AT LIFE COMM DIRECTORY: AT milliseconds after the start, or later when\n"
	"the machine is slow, a process of this name takes memory in this cgroup until it is killed.\n"
	"LIFE -1: the cgroup is there and stays. Else it is made for this kill, with LIMIT in LIMIT_FILE, and removed when the process\n"
	"is dead and LIFE milliseconds have passed.\n"
	"A line of the result is PID SIGNAL DIED GONE COMM DIRECTORY: microseconds from the start of\n"
	"this kill to the death, and to the removal; the times are 0 for what did not happen.\n"
	"Then a line with the milliseconds that the whole took.\n";

enum { most = 100000, together = 32 };

struct kill {
	unsigned at;
	int life, pid, signal;
	unsigned died, gone;
	char comm[16];
	char *dir;
};

static const char *limit_file, *limit;

static void die(const char *what) {
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	_exit(3);
}

static unsigned long long now_us(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

static void sleep_until(unsigned long long us) {
	struct timespec t = {us / 1000000, us % 1000000 * 1000};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
	}
}

static void put(const char *dir, const char *file, const char *text) {
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", dir, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0) die(path);
	close(fd);
}

static void victim(const struct kill *k) {
	prctl(PR_SET_NAME, k->comm);
	put("/proc/self", "oom_score_adj", "0");
	put(k->dir, "cgroup.procs", "0");
	// A limit that fails must not fill the machine.
	const size_t all = 64UL << 20, page = sysconf(_SC_PAGESIZE);
	volatile char *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) die("mmap");
	for (size_t i = 0; i < all; i += page) p[i] = 1;
	_exit(4);
}

// one makes one kill, in a process of its own.
static void one(struct kill *k) {
	unsigned long long start = now_us();
	if (k->life >= 0) {
		if (mkdir(k->dir, 0755) != 0) die(k->dir);
		put(k->dir, limit_file, limit);
	}
	pid_t pid = fork();
	if (pid < 0) die("fork");
	if (pid == 0) victim(k);
	k->pid = pid;
	int status;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	k->signal = WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
	k->died = now_us() - start;
	if (k->life < 0) return;
	sleep_until(start + k->life * 1000ULL);
	while (rmdir(k->dir) != 0)
		if (errno != EBUSY) die(k->dir);
	k->gone = now_us() - start;
}

int main(int argc, char **argv) {
	if (argc != 3) {
		fputs(usage, stderr);
		return 2;
	}
	limit_file = argv[1], limit = argv[2];
	// The helpers write what became of their kill.
	struct kill *all = mmap(NULL, most * sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED) die("mmap");
	int n = 0, fields;
	for (; n < most && (fields = scanf("%u %d %15s %ms", &all[n].at, &all[n].life, all[n].comm, &all[n].dir)) != EOF; n++)
		if (fields != 4) {
			fputs(usage, stderr);
			return 2;
		}
	unsigned long long start = now_us();
	int running = 0;
	for (int i = 0; i < n; i++) {
		sleep_until(start + all[i].at * 1000ULL);
		while (running > 0 && waitpid(-1, NULL, running < together ? WNOHANG : 0) > 0) running--;
		running++;
		pid_t helper = fork();
		if (helper < 0) die("fork");
		if (helper == 0) {
			one(all + i);
			_exit(0);
		}
	}
	while (wait(NULL) > 0 || errno == EINTR) {
	}
	for (int i = 0; i < n; i++)
		printf("%d %d %u %u %s %s\n", all[i].pid, all[i].signal, all[i].died, all[i].gone, all[i].comm, all[i].dir);
	printf("%llu\n", (now_us() - start) / 1000);
	return 0;
}
