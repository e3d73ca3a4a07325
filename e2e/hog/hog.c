// SPDX-License-Identifier: Apache-2.0

// hog takes memory of a known kind and size, step by step, and then holds it.
// It is static C because a Go runtime's own memory would blur what is measured.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: hog STEP... (sizes with K, M or G; after the last step it holds)\n"
	"  enter:FILE        join by a cgroup.procs file and start anew, so that all pages are charged there\n"
	"  comm:NAME  adj:N  set the name, oom_score_adj\n"
	"  rate:SIZE         bytes a second from here on; 0: at once\n"
	"  pages:small       no transparent huge pages from here on; pages:huge: these where they are to be had\n"
	"  anon:SIZE  anon:SIZE:OF (in a mapping of OF bytes)  mlock:SIZE  shmem:SIZE\n"
	"  file:SIZE:PATH    write a file and sync it as it grows, since v1 kills for dirty pages; dirty:SIZE:PATH: without the sync\n"
	"  map:SIZE:PATH     map a file shared and read it; read:PATH: read it as it is read most often\n"
	"  threads:N         threads that sleep\n"
	"  churn:N           threads on one CPU after the other that give a page back and take it again\n"
	"  pipes:SIZE        bytes in pipes that nobody reads: kernel memory that can't be freed\n"
	"  dentries:N        look for N files that are not there\n"
	"  files:N:BYTES:LENGTH:DIR  make N files of that many bytes, with names of that length\n"
	"  links:N:LENGTH:DIR        make N hard links to one file\n"
	"  stats:N:BYTES:LENGTH:DIR  look at the files that files makes\n"
	"  say:TEXT          a line on stdout\n"
	"  get:PORT:PATH     print a page of a local web server; exit 4 unless it answers 200\n"
	"  stop  sleep:MS  exit:N\n"
	"  fork:N            do the rest in a child, N times one after the other; then hold\n"
	"  exec PROG ARG...  become another program\n";

static size_t page, rate;
static int huge;

static void die(const char *what) {
	fprintf(stderr, "hog: %s: %s\n", what, strerror(errno));
	exit(3);
}

static void nap(double seconds) {
	struct timespec t = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
	while (nanosleep(&t, &t) != 0 && errno == EINTR) {
	}
}

static size_t size_of(const char *s) {
	char *end;
	unsigned long long n = strtoull(s, &end, 10);
	switch (*end) {
	case 'K': return n << 10;
	case 'M': return n << 20;
	case 'G': return n << 30;
	}
	return n;
}

static void put(const char *path, const char *text) {
	int fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0) die(path);
	close(fd);
}

// touch visits one byte a page, in slices of a hundredth of a second when a rate is set.
static void touch(volatile char *p, size_t n, int writing) {
	size_t slice = rate ? rate / 100 + 1 : n, done = 0;
	for (size_t i = 0; i < n; i += page) {
		if (writing) p[i] = 1;
		else (void)p[i];
		if (rate && (done += page) >= slice) {
			nap((double)done / rate);
			done = 0;
		}
	}
}

static char *map(size_t n, int flags, int fd) {
	char *p = mmap(NULL, n, PROT_READ | (fd < 0 ? PROT_WRITE : 0), flags, fd, 0);
	if (p == MAP_FAILED) die("mmap");
	if (huge && fd < 0 && madvise(p, n, MADV_HUGEPAGE) != 0 && errno != EINVAL) die("madvise");
	return p;
}

static void set_pages(const char *kind) {
	huge = !strcmp(kind, "huge");
	if (!huge && strcmp(kind, "small")) errno = EINVAL, die(kind);
	if (prctl(PR_SET_THP_DISABLE, !huge, 0, 0, 0) != 0) die("PR_SET_THP_DISABLE");
}

// fill appends in small blocks: a block bigger than what a limit leaves would fail as a whole.
static void fill(const char *arg, int sync) {
	static char block[64 << 10];
	const char *path = strchr(arg, ':');
	if (!path) errno = EINVAL, die(arg);
	int fd = open(path + 1, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0) die(path + 1);
	memset(block, 'x', sizeof block);
	for (size_t n = size_of(arg); n > 0;) {
		size_t want = n < sizeof block ? n : sizeof block;
		ssize_t got = write(fd, block, want);
		if (got < 0) die(path + 1);
		n -= got;
		if (sync && n % (4 << 20) < (size_t)got && fdatasync(fd) != 0) die(path + 1);
		if (rate) nap((double)got / rate);
	}
	if (sync && fsync(fd) != 0) die(path + 1);
	close(fd);
}

static void read_file(const char *path) {
	static char block[64 << 10];
	int fd = open(path, O_RDONLY);
	ssize_t got = 1;
	if (fd < 0) die(path);
	while ((got = read(fd, block, sizeof block)) > 0) {
	}
	if (got < 0) die(path);
	close(fd);
}

static void map_file(const char *arg) {
	const char *path = strchr(arg, ':');
	if (!path) errno = EINVAL, die(arg);
	int fd = open(path + 1, O_RDONLY);
	if (fd < 0) die(path + 1);
	touch(map(size_of(arg), MAP_SHARED, fd), size_of(arg), 0);
	close(fd);
}

static void anon(const char *arg) {
	const char *of = strchr(arg, ':');
	size_t n = size_of(arg);
	touch(map(of ? size_of(of + 1) : n, MAP_PRIVATE | MAP_ANONYMOUS, -1), n, 1);
}

static void *doze(void *unused) {
	for (;;) pause();
	return unused;
}

// churn has the kernel charge ahead on one CPU every now and then.
static void *churn(void *arg) {
	unsigned seed = (long)arg;
	cpu_set_t cpu;
	CPU_ZERO(&cpu);
	CPU_SET((long)arg % sysconf(_SC_NPROCESSORS_ONLN), &cpu);
	if (pthread_setaffinity_np(pthread_self(), sizeof cpu, &cpu) != 0) die("pthread_setaffinity_np");
	for (char *p = map(page, MAP_PRIVATE | MAP_ANONYMOUS, -1);; nap(0.005 * (1 + rand_r(&seed) % 40))) {
		*(volatile char *)p = 1;
		if (madvise(p, page, MADV_DONTNEED) != 0) die("madvise");
	}
	return NULL;
}

static void start_threads(int n, void *(*run)(void *)) {
	pthread_attr_t attr;
	pthread_t id;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	while (n-- > 0)
		if ((errno = pthread_create(&id, &attr, run, (void *)(long)n)) != 0) die("pthread_create");
}

// pipes fills pipes of 64 KiB and keeps them open.
static void pipes(size_t n) {
	static char block[64 << 10];
	for (size_t done = 0; done < n; done += sizeof block) {
		int fd[2];
		if (pipe(fd) != 0) die("pipe");
		if (write(fd[1], block, sizeof block) < 0) die("pipe");
		if (rate) nap((double)sizeof block / rate);
	}
}

// dentries leaves N negative entries in the directory cache.
static void dentries(long n) {
	char name[64];
	struct stat st;
	for (long i = 0; i < n; i++) {
		snprintf(name, sizeof name, "/tmp/not-there-%ld-%ld", (long)getpid(), i);
		stat(name, &st);
	}
}

// numbers reads some numbers and a path, with colons between them.
static const char *numbers(const char *arg, long *n, int count) {
	for (; count > 0; count--) {
		char *end;
		*n++ = strtol(arg, &end, 10);
		if (*end != ':') errno = EINVAL, die(arg);
		arg = end + 1;
	}
	return arg;
}

// name_of writes the path of the i-th file of a directory.
static char *name_of(const char *dir, const char *kind, long length, long i) {
	static char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/%s%ld", dir, kind, i), want = strlen(dir) + 1 + length;
	while (n < want && n < (int)sizeof path - 1) path[n++] = 'x';
	path[n] = 0;
	return path;
}

// files makes N files; with a rate, as if each had at least a KiB.
static void files(const char *arg) {
	static char block[64 << 10];
	long n[3];
	const char *dir = numbers(arg, n, 3);
	for (long i = 0; i < n[0]; i++) {
		int fd = open(name_of(dir, "f", n[2], i), O_WRONLY | O_CREAT, 0600);
		if (fd < 0 || write(fd, block, n[1] < (long)sizeof block ? n[1] : (long)sizeof block) < 0) die(dir);
		close(fd);
		if (rate && i % 64 == 63) nap(64.0 * (n[1] + 1024) / rate);
	}
}

static void links(const char *arg) {
	long n[2];
	const char *dir = numbers(arg, n, 2);
	char first[PATH_MAX];
	strcpy(first, name_of(dir, "f", n[1], 0));
	int fd = open(first, O_WRONLY | O_CREAT, 0600);
	if (fd < 0) die(dir);
	close(fd);
	for (long i = 0; i < n[0]; i++) {
		if (link(first, name_of(dir, "l", n[1], i)) != 0) die(dir);
		if (rate && i % 64 == 63) nap(64.0 * 1024 / rate);
	}
}

static void stats(const char *arg) {
	struct stat st;
	long n[3];
	const char *dir = numbers(arg, n, 3);
	for (long i = 0; i < n[0]; i++)
		if (stat(name_of(dir, "f", n[2], i), &st) != 0) die(dir);
}

// get is here because busybox's static wget needs shared libraries to resolve any address.
static void get(const char *arg) {
	static char head[1 << 20], request[4096];
	const char *path = strchr(arg, ':');
	if (!path) errno = EINVAL, die(arg);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(arg)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), n = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path + 1);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 || write(fd, request, n) != n) exit(4);
	FILE *in = fdopen(fd, "r");
	size_t got = fread(head, 1, sizeof head - 1, in);
	char *body = strstr(head, "\r\n\r\n");
	if (strncmp(head + 8, " 200", 4) != 0 || !body) exit(4);
	for (body += 4; got > 0; body = head, got = fread(head, 1, sizeof head, in)) fwrite(body, 1, head + got - body, stdout);
	fclose(in);
}

static void enter(const char *procs, char **rest) {
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n < 0) die("/proc/self/exe");
	self[n] = 0;
	put(procs, "0");
	rest[0] = self;
	execv(self, rest);
	die(self);
}

// fork_times returns in the children only.
static void fork_times(int n) {
	while (n-- > 0) {
		pid_t child = fork();
		if (child < 0) die("fork");
		if (child == 0) return;
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
		}
	}
	for (;;) pause();
}

static void step(char **argv) {
	char *arg = strchr(argv[0], ':');
	size_t len = arg ? (size_t)(arg++ - argv[0]) : strlen(argv[0]);
#define IS(name) (len == sizeof name - 1 && !memcmp(argv[0], name, len) && (arg || !strcmp(name, "stop") || !strcmp(name, "exec")))
	if (IS("enter")) enter(arg, argv);
	else if (IS("comm")) prctl(PR_SET_NAME, arg);
	else if (IS("adj")) put("/proc/self/oom_score_adj", arg);
	else if (IS("rate")) rate = size_of(arg);
	else if (IS("pages")) set_pages(arg);
	else if (IS("anon")) anon(arg);
	else if (IS("shmem")) touch(map(size_of(arg), MAP_SHARED | MAP_ANONYMOUS, -1), size_of(arg), 1);
	else if (IS("mlock")) {
		char *p = map(size_of(arg), MAP_PRIVATE | MAP_ANONYMOUS, -1);
		touch(p, size_of(arg), 1);
		if (mlock(p, size_of(arg)) != 0) die("mlock");
	} else if (IS("file")) fill(arg, 1);
	else if (IS("dirty")) fill(arg, 0);
	else if (IS("map")) map_file(arg);
	else if (IS("read")) read_file(arg);
	else if (IS("threads")) start_threads(atoi(arg), doze);
	else if (IS("churn")) start_threads(atoi(arg), churn);
	else if (IS("pipes")) pipes(size_of(arg));
	else if (IS("dentries")) dentries(atol(arg));
	else if (IS("files")) files(arg);
	else if (IS("links")) links(arg);
	else if (IS("stats")) stats(arg);
	else if (IS("say")) printf("%s\n", arg);
	else if (IS("stop")) raise(SIGSTOP);
	else if (IS("get")) get(arg);
	else if (IS("sleep")) nap(atof(arg) / 1000);
	else if (IS("exit")) exit(atoi(arg));
	else if (IS("fork")) fork_times(atoi(arg));
	else if (IS("exec") && argv[1]) {
		execv(argv[1], argv + 1);
		die(argv[1]);
	} else {
		fprintf(stderr, "hog: bad step %s\n%s", argv[0], usage);
		exit(2);
	}
}

int main(int argc, char **argv) {
	page = sysconf(_SC_PAGESIZE);
	setvbuf(stdout, NULL, _IONBF, 0);
	for (int i = 1; i < argc; i++) step(argv + i);
	for (;;) pause();
}
