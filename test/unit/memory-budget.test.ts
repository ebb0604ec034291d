import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { OverloadedError } from "../../shared/storage/driver.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";

describe("a memory budget", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const setup = (): {
    take: (name: string, bytes: number) => Promise<void>;
    granted: string[];
    budget: MemoryBudget;
  } => {
    const budget = new MemoryBudget(10, 1000);
    const granted: string[] = [];
    const take = async (name: string, bytes: number): Promise<void> => {
      await budget.take(bytes);
      granted.push(name);
    };
    return { budget, take, granted };
  };
  const settled = async (): Promise<void> => {
    await vi.advanceTimersByTimeAsync(0);
  };

  it("gives at once while there is some", async () => {
    const { take, granted } = setup();
    await take("a", 4);
    await take("b", 6);
    expect(granted).toEqual(["a", "b"]);
  });

  it("serves who came first first: a small one does not overtake a large one", async () => {
    const { budget, take, granted } = setup();
    await take("a", 8);
    const waiting = [take("large", 10), take("small", 1)];
    await settled();
    expect(granted).toEqual(["a"]);
    budget.release(8);
    await settled();
    expect(granted).toEqual(["a", "large"]);
    budget.release(10);
    await Promise.all(waiting);
    expect(granted).toEqual(["a", "large", "small"]);
  });

  it("grants several at once when enough comes back", async () => {
    const { budget, take, granted } = setup();
    await take("a", 10);
    const waiting = [take("b", 3), take("c", 3), take("d", 5)];
    budget.release(10);
    await settled();
    expect(granted).toEqual(["a", "b", "c"]);
    budget.release(3);
    await Promise.all(waiting);
  });

  it("refuses who waited too long, and forgets them", async () => {
    const { budget, take, granted } = setup();
    await take("a", 10);
    const late = expect(take("late", 10)).rejects.toThrow(OverloadedError);
    await vi.advanceTimersByTimeAsync(999);
    const next = take("next", 10);
    await vi.advanceTimersByTimeAsync(2);
    await late;
    budget.release(10);
    await next;
    expect(granted).toEqual(["a", "next"]);
  });
});
