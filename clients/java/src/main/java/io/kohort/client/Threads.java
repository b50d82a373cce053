// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** The threads of clients that were given none. */
final class Threads {
  private static final AtomicInteger COUNT = new AtomicInteger();

  private Threads() {}

  /** Daemon threads as needed, gone after a few idle seconds. */
  static ExecutorService daemons() {
    return new ThreadPoolExecutor(
        0,
        Integer.MAX_VALUE,
        5,
        TimeUnit.SECONDS,
        new SynchronousQueue<>(),
        task -> {
          Thread thread = new Thread(task, "kohort-client-" + COUNT.incrementAndGet());
          thread.setDaemon(true);
          return thread;
        });
  }
}
