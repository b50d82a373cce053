// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.AccessibleObject;
import java.lang.reflect.AnnotatedElement;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Parameter;
import java.lang.reflect.Type;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a class takes: the parameters of its constructor, or its setters and fields. Records are known by
 * reflection alone, since this library runs on a Java that has none.
 */
final class Shape<T> {
  final Constructor<T> constructor;
  final boolean byConstructor;
  final List<Part> parts;

  private Shape(Constructor<T> constructor, boolean byConstructor, List<Part> parts) {
    this.constructor = constructor;
    this.byConstructor = byConstructor;
    this.parts = parts;
  }

  /** One component, parameter, property or field, and the column that it takes. */
  static final class Part {
    final String column;
    final Type type;
    final String where;

    /** A Method or a Field; null for parameters. */
    final AccessibleObject setter;

    Part(Class<?> owner, String name, AnnotatedElement named, Type type, AccessibleObject setter) {
      Column column = named.getAnnotation(Column.class);
      this.column = column == null ? name : column.value();
      this.type = type;
      this.where = owner.getSimpleName() + "." + name;
      this.setter = setter;
    }

    MethodHandle setter(MethodHandles.Lookup lookup) throws IllegalAccessException {
      return setter instanceof Method ? dropResult(lookup) : lookup.unreflectSetter((Field) setter);
    }

    private MethodHandle dropResult(MethodHandles.Lookup lookup) throws IllegalAccessException {
      MethodHandle handle = lookup.unreflect((Method) setter);
      return handle.asType(handle.type().changeReturnType(void.class));
    }
  }

  /** The shape of a class; MappingException when it has none. */
  static <T> Shape<T> of(Class<T> type) {
    boolean inner = type.isMemberClass() && !Modifier.isStatic(type.getModifiers());
    // Primitives, interfaces and arrays are abstract, too.
    if (inner || type.isEnum() || type.getName().startsWith("java.") || Modifier.isAbstract(type.getModifiers())) {
      throw new MappingException("", type.getSimpleName() + ": rows become your records or (static) classes");
    }
    if (type.getSuperclass() != null && type.getSuperclass().getName().equals("java.lang.Record")) {
      return record(type);
    }
    Constructor<T> empty = null;
    Constructor<T> full = null;
    for (Constructor<?> each : type.getDeclaredConstructors()) {
      @SuppressWarnings("unchecked") // documented of getDeclaredConstructors
      Constructor<T> constructor = (Constructor<T>) each;
      if (constructor.getParameterCount() == 0) {
        empty = constructor;
      } else if (full == null || annotated(constructor)) {
        full = constructor;
      }
    }
    if (full != null && (empty == null || annotated(full))) {
      return parameters(type, full);
    }
    if (empty == null) {
      throw new MappingException("", type.getSimpleName() + ": has no constructor");
    }
    return new Shape<>(empty, false, properties(type));
  }

  private static boolean annotated(Constructor<?> constructor) {
    return constructor.getParameters()[0].isAnnotationPresent(Column.class);
  }

  private static <T> Shape<T> record(Class<T> type) {
    List<Part> parts = new ArrayList<>();
    List<Class<?>> types = new ArrayList<>();
    try {
      Object[] components = (Object[]) Class.class.getMethod("getRecordComponents").invoke(type);
      for (Object component : components) {
        // The annotation of a component stands on its field too, if it is meant for fields.
        String name = (String) component.getClass().getMethod("getName").invoke(component);
        Field field = type.getDeclaredField(name);
        parts.add(new Part(type, name, field, field.getGenericType(), null));
        types.add(field.getType());
      }
      return new Shape<>(type.getDeclaredConstructor(types.toArray(new Class<?>[0])), true, parts);
    } catch (ReflectiveOperationException impossible) { // every record has them
      throw new MappingException("", type.getSimpleName() + ": its components cannot be read", impossible);
    }
  }

  private static <T> Shape<T> parameters(Class<T> type, Constructor<T> constructor) {
    List<Part> parts = new ArrayList<>();
    for (Parameter parameter : constructor.getParameters()) {
      if (!parameter.isNamePresent() && !parameter.isAnnotationPresent(Column.class)) {
        throw new MappingException(
            "",
            type.getSimpleName()
                + ": name the columns of its constructor's parameters by @Column,"
                + " or compile it with -parameters");
      }
      parts.add(new Part(type, parameter.getName(), parameter, parameter.getParameterizedType(), null));
    }
    return new Shape<>(constructor, true, parts);
  }

  /** Setters, and fields without one; those of superclasses first. */
  private static List<Part> properties(Class<?> type) {
    Deque<Class<?>> line = new ArrayDeque<>();
    for (Class<?> each = type; each != null && each != Object.class; each = each.getSuperclass()) {
      line.push(each);
    }
    Map<String, Part> parts = new LinkedHashMap<>();
    for (Class<?> each : line) {
      for (Field field : each.getDeclaredFields()) {
        int skipped = Modifier.STATIC | Modifier.TRANSIENT | Modifier.FINAL;
        if ((field.getModifiers() & skipped) == 0 && !field.isSynthetic()) {
          parts.put(field.getName(), new Part(type, field.getName(), field, field.getGenericType(), field));
        }
      }
    }
    for (Class<?> each : line) {
      for (Method method : each.getDeclaredMethods()) {
        String name = property(method);
        if (name != null) {
          Part field = parts.get(name);
          boolean named = method.isAnnotationPresent(Column.class) || field == null;
          AnnotatedElement names = named ? method : (AnnotatedElement) field.setter;
          parts.put(name, new Part(type, name, names, method.getGenericParameterTypes()[0], method));
        }
      }
    }
    return new ArrayList<>(parts.values());
  }

  /** The property that a public setter sets; null for any other method. */
  private static String property(Method method) {
    String name = method.getName();
    boolean sets = name.length() > 3 && name.startsWith("set") && method.getParameterCount() == 1;
    int modifiers = method.getModifiers();
    if (!sets || !Modifier.isPublic(modifiers) || Modifier.isStatic(modifiers) || method.isBridge()) {
      return null;
    }
    return Character.toLowerCase(name.charAt(3)) + name.substring(4);
  }
}
