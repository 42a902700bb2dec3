/*
 * thread: a thread that hears no signals: they are for the one that waits for them.
 */
#ifndef HOST_THREAD_H
#define HOST_THREAD_H

#include <pthread.h>
#include <signal.h>

/* 0, or an error number; the caller joins or detaches it. */
static inline int thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	sigfillset(&all);
	sigdelset(&all, SIGSYS); /* a thread that blocks it dies without a word in the sandbox */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

#endif
