// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.AccessibleObject;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;

/**
 * How the rows of one table become objects of one class: one conversion for each column that the class takes,
 * and what takes them all.
 */
final class RowMapper<T> {
  private static final MethodType FILLS = MethodType.methodType(Object.class, Object[].class);
  private static final MethodType SETS = MethodType.methodType(void.class, Object.class, Object.class);

  private final String type;
  private final int[] columns;
  private final Conversion[] conversions;
  private final MethodHandle constructor;
  private final MethodHandle[] setters;

  private RowMapper(
      Class<T> type,
      int[] columns,
      Conversion[] conversions,
      MethodHandle constructor,
      MethodHandle[] setters) {
    this.type = type.getSimpleName();
    this.columns = columns;
    this.conversions = conversions;
    this.constructor = constructor;
    this.setters = setters;
  }

  /** Works out the mapping; MappingException when the class does not fit the columns. */
  static <T> RowMapper<T> of(Class<T> type, Layout layout) {
    Shape<T> shape = Shape.of(type);
    List<Shape.Part> parts = shape.parts;
    if (parts.isEmpty()) {
      throw new MappingException("", type.getSimpleName() + ": takes no column");
    }
    int[] columns = new int[parts.size()];
    Conversion[] conversions = new Conversion[columns.length];
    MethodHandle[] setters = shape.byConstructor ? null : new MethodHandle[columns.length];
    for (int i = 0; i < columns.length; i++) {
      Shape.Part part = parts.get(i);
      if (!layout.has(part.column)) {
        throw new MappingException(
            part.column, part.where + ": " + layout.table() + " has no column " + part.column + "; @Column names another");
      }
      columns[i] = layout.position(part.column);
      conversions[i] = Conversion.of(layout.column(columns[i]), part.type, part.where);
      if (setters != null) {
        setters[i] = handle(part.setter, part.where, lookup -> part.setter(lookup)).asType(SETS);
      }
    }
    MethodHandle made =
        handle(
            shape.constructor, type.getSimpleName(), lookup -> lookup.unreflectConstructor(shape.constructor));
    MethodHandle constructor = made.asSpreader(Object[].class, made.type().parameterCount()).asType(FILLS);
    return new RowMapper<>(type, columns, conversions, constructor, setters);
  }

  @SuppressWarnings("unchecked") // the constructor is that of the class
  T map(Batch batch, int row) {
    Object[] values = new Object[columns.length];
    for (int i = 0; i < values.length; i++) {
      values[i] = conversions[i].of(batch.cells(columns[i]), row);
    }
    try {
      if (setters == null) {
        return (T) (Object) constructor.invokeExact(values);
      }
      Object made = (Object) constructor.invokeExact(new Object[0]);
      for (int i = 0; i < values.length; i++) {
        setters[i].invokeExact(made, values[i]);
      }
      return (T) made;
    } catch (RuntimeException | Error own) {
      throw own;
    } catch (Throwable checked) {
      throw new MappingException("", type + " cannot be made: " + checked.getClass().getName(), checked);
    }
  }

  Iterator<T> rows(Batch batch) {
    return new Iterator<>() {
      private int next;

      @Override
      public boolean hasNext() {
        return next < batch.rowCount();
      }

      @Override
      public T next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        return map(batch, next++);
      }
    };
  }

  private interface Unreflected {
    MethodHandle in(MethodHandles.Lookup lookup) throws IllegalAccessException;
  }

  private static MethodHandle handle(AccessibleObject member, String where, Unreflected found) {
    try {
      member.setAccessible(true);
      return found.in(MethodHandles.lookup());
    } catch (RuntimeException | IllegalAccessException closed) {
      throw new MappingException("", where + ": is closed to io.kohort.client; open its package to it", closed);
    }
  }
}
