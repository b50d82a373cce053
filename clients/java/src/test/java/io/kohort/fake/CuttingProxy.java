// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.IntUnaryOperator;

/** Passes TCP connections on to a port of this machine, and cuts each after so many bytes from the server. */
public final class CuttingProxy implements AutoCloseable {
  private final int target;
  private final IntUnaryOperator limits;
  private final ServerSocket listening;
  private final List<Socket> open = new CopyOnWriteArrayList<>();
  private volatile int connections;

  private CuttingProxy(int target, IntUnaryOperator limits) {
    this.target = target;
    this.limits = limits;
    try {
      listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    } catch (IOException taken) {
      throw new UncheckedIOException(taken);
    }
  }

  /** The bytes that connection n, from 1, may bring. */
  public static CuttingProxy start(int target, IntUnaryOperator limits) {
    CuttingProxy proxy = new CuttingProxy(target, limits);
    proxy.inBackground(proxy::accept);
    return proxy;
  }

  /** Where clients connect. */
  public String address() {
    return "127.0.0.1:" + listening.getLocalPort();
  }

  /** Connections so far. */
  public int connections() {
    return connections;
  }

  @Override
  public void close() {
    end(listening);
    open.forEach(CuttingProxy::end);
  }

  private void accept() {
    while (!listening.isClosed()) {
      try {
        Socket client = listening.accept();
        Socket server = new Socket(InetAddress.getLoopbackAddress(), target);
        open.add(client);
        open.add(server);
        int limit = limits.applyAsInt(++connections);
        inBackground(() -> pass(client, server, Integer.MAX_VALUE));
        inBackground(() -> pass(server, client, limit));
      } catch (IOException closed) {
        return;
      }
    }
  }

  private static void pass(Socket from, Socket to, int limit) {
    byte[] buffer = new byte[4096];
    int left = limit;
    try (from; to) {
      InputStream in = from.getInputStream();
      OutputStream out = to.getOutputStream();
      int count = 0;
      while (left > 0 && (count = in.read(buffer, 0, Math.min(left, buffer.length))) > 0) {
        out.write(buffer, 0, count);
        left -= limit == Integer.MAX_VALUE ? 0 : count;
      }
    } catch (IOException cut) {
      // The other direction ended it.
    }
  }

  private void inBackground(Runnable task) {
    Thread thread = new Thread(task, "cutting-proxy");
    thread.setDaemon(true);
    thread.start();
  }

  private static void end(AutoCloseable socket) {
    try {
      socket.close();
    } catch (Exception alreadyClosed) {
      return;
    }
  }
}
