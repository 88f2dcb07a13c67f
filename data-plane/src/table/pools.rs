//! Pools by name, and by a number that each keeps from table to table, so that chains of pools that stay need
//! not be made anew because others come and go.

use std::sync::Arc;

use weir_proto::model::ResourceName;

use crate::pool::Pool;

/// A copy shares the pools.
#[derive(Debug, Clone, Default)]
pub struct Pools {
    /// By number; `None` where a pool has gone and no other has come.
    numbered: Vec<Option<Arc<Pool>>>,
    /// Numbers, in the order of the pools' names.
    order: Vec<usize>,
}

impl Pools {
    /// The pool of this name.
    #[must_use]
    pub fn get(&self, name: &ResourceName) -> Option<&Arc<Pool>> {
        self.number(name).and_then(|number| self.at(number))
    }

    /// The number of the pool of this name.
    #[must_use]
    pub fn number(&self, name: &ResourceName) -> Option<usize> {
        self.find(name).ok().map(|place| self.order[place])
    }

    /// The pool of this number.
    #[must_use]
    pub fn at(&self, number: usize) -> Option<&Arc<Pool>> {
        self.numbered.get(number).and_then(Option::as_ref)
    }

    /// Every pool, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.order.iter().filter_map(|number| self.at(*number))
    }

    /// Takes a pool in place of the one of its name, if there is one.
    pub fn insert(&mut self, pool: Arc<Pool>) {
        let number = match self.find(&pool.config.name) {
            Ok(place) => self.order[place],
            Err(place) => {
                let number = self.free_number();
                self.order.insert(place, number);
                number
            }
        };
        self.numbered[number] = Some(pool);
    }

    /// Gives up the pool of this name.
    pub fn remove(&mut self, name: &ResourceName) -> Option<Arc<Pool>> {
        let place = self.find(name).ok()?;
        let number = self.order.remove(place);
        self.numbered[number].take()
    }

    fn find(&self, name: &ResourceName) -> Result<usize, usize> {
        self.order.binary_search_by(|number| self.at(*number).map(|pool| &pool.config.name).cmp(&Some(name)))
    }

    fn free_number(&mut self) -> usize {
        // Each number in use is in `order` once.
        let is_full = self.order.len() == self.numbered.len();
        let free = if is_full { None } else { self.numbered.iter().position(Option::is_none) };
        free.unwrap_or_else(|| {
            self.numbered.push(None);
            self.numbered.len() - 1
        })
    }
}

impl FromIterator<Arc<Pool>> for Pools {
    fn from_iter<I: IntoIterator<Item = Arc<Pool>>>(pools: I) -> Self {
        let mut all = Self::default();
        pools.into_iter().for_each(|pool| all.insert(pool));
        all
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::model;

    use super::*;
    use crate::pool::PoolRuntime;
    use crate::pool::runtime::Environment;

    fn pool(name: &str) -> Arc<Pool> {
        let environment = Environment::without_tasks(1);
        let config = Arc::new(model::Pool::new(name.parse().unwrap()));
        Arc::new(Pool::new(config.clone(), PoolRuntime::new(config, environment)))
    }

    fn names(pools: &Pools) -> Vec<&str> {
        pools.iter().map(|pool| pool.config.name.name()).collect()
    }

    #[test]
    fn c5_a_pool_keeps_its_number_whoever_comes_and_goes() {
        let mut pools: Pools = ["a/m", "a/x"].map(pool).into_iter().collect();
        let number = |pools: &Pools, name: &str| pools.number(&name.parse().unwrap());
        let (m, x) = (number(&pools, "a/m"), number(&pools, "a/x"));
        ["a/b", "a/n", "a/m"].map(pool).into_iter().for_each(|pool| pools.insert(pool));
        assert_eq!(names(&pools), ["b", "m", "n", "x"]);
        assert_eq!((number(&pools, "a/m"), number(&pools, "a/x")), (m, x));
        assert!(pools.remove(&"a/m".parse().unwrap()).is_some());
        assert!(pools.at(m.unwrap()).is_none() && pools.get(&"a/m".parse().unwrap()).is_none());
        pools.insert(pool("a/c"));
        assert_eq!((number(&pools, "a/c"), names(&pools)), (m, vec!["b", "c", "n", "x"]), "its number is taken up");
    }
}
