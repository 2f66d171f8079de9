//! Arithmetic that gives what it says: integers that do not fit are an error and do not wrap around, and a NaN that comes of it is as every other
//! one, because comparing and sorting go by bits. Texts that are joined have a bound.
//!
//! Types are settled when this rule looks at a plan: it puts functions of its own in the place of operators. What is written without brackets,
//! as `a + b - c * d`, is a tree as deep as it has operators, and `DataFusion` asks each node of a tree for its type again and again, a function
//! for its name as well, which is that of all below it. So operators one after the other become one function ([`Chain`]), which works them off in
//! their order.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Datum, Scalar},
    compute::kernels::numeric,
    datatypes::{DataType, Float32Type, Float64Type},
};
use datafusion::{
    common::{DFSchema, config::ConfigOptions, exec_err, tree_node::Transformed},
    error::Result,
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility, type_coercion::binary::BinaryTypeCoercer,
    },
    optimizer::AnalyzerRule,
};

use super::{expression::each_expression, function::bounded, scan::plain_floats};

const PLAIN: &str = "plain";

/// The rule.
#[derive(Debug)]
pub struct ArithmeticAsSaid {
    plain: Arc<ScalarUDF>,
    joined: Arc<ScalarUDF>,
}

impl ArithmeticAsSaid {
    pub fn new() -> ArithmeticAsSaid {
        let plain = Arc::new(ScalarUDF::from(Plain { signature: Signature::any(1, Volatility::Immutable) }));
        ArithmeticAsSaid { plain, joined: Arc::new(bounded::joined()) }
    }

    fn of_expression(&self, node: Expr, schema: &DFSchema) -> Transformed<Expr> {
        // A type that is not known belongs to an outer statement.
        let result = || type_of(&node, schema);
        match &node {
            Expr::BinaryExpr(BinaryExpr { op, .. }) if is_arithmetic(*op) => match result() {
                Some(DataType::Float64 | DataType::Float32) => self.made_plain(node),
                Some(kind) if kind.is_integer() => made_checked(node, &kind, schema),
                _ => Transformed::no(node),
            },
            Expr::BinaryExpr(BinaryExpr { op: Operator::StringConcat, .. }) => self.made_bounded(node, schema),
            Expr::Negative(_) | Expr::ScalarFunction(_) if matches!(result(), Some(DataType::Float64 | DataType::Float32)) => {
                self.made_plain(node)
            }
            _ => Transformed::no(node),
        }
    }

    /// Once, at the outside: on its way a NaN stays one.
    fn made_plain(&self, node: Expr) -> Transformed<Expr> {
        let node = match node {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                Expr::BinaryExpr(BinaryExpr { left: Box::new(self.inside(*left)), op, right: Box::new(self.inside(*right)) })
            }
            Expr::Negative(of) => Expr::Negative(Box::new(self.inside(*of))),
            Expr::ScalarFunction(function) if function.func.name() == PLAIN => return Transformed::no(Expr::ScalarFunction(function)),
            other => other,
        };
        Transformed::yes(self.plain.call(vec![node]))
    }

    fn inside(&self, node: Expr) -> Expr {
        match node {
            Expr::ScalarFunction(mut function) if function.func.name() == PLAIN => {
                function.args.pop().unwrap_or_else(|| self.plain.call(vec![]))
            }
            other => other,
        }
    }

    /// `||` with a bound; of texts of one type, as the rules before leave it.
    fn made_bounded(&self, node: Expr, schema: &DFSchema) -> Transformed<Expr> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = node else { return Transformed::no(node) };
        let (one, other) = (type_of(&left, schema), type_of(&right, schema));
        if one != other || !one.is_some_and(|kind| kind.is_string()) {
            return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }));
        }
        let mut texts = match *left {
            Expr::ScalarFunction(before) if before.func == self.joined => before.args,
            first => vec![first],
        };
        texts.push(*right);
        Transformed::yes(self.joined.call(texts))
    }
}

fn made_checked(node: Expr, kind: &DataType, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = node else { return Transformed::no(node) };
    let same = |side: &Expr| type_of(side, schema).is_some_and(|side| side == *kind);
    // A quotient fits by itself; after other operators it is one of them.
    let is_checked = !is_quotient(op) || chain(&left).is_some();
    if !is_checked || !same(&left) || !same(&right) {
        return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }));
    }
    let (mut operators, mut args) = match (chain(&left).map(|chain| chain.operators.clone()), *left) {
        (Some(operators), Expr::ScalarFunction(before)) => (operators, before.args),
        (_, Expr::BinaryExpr(before)) if is_quotient(before.op) && same(&before.left) && same(&before.right) => {
            (vec![before.op], vec![*before.left, *before.right])
        }
        (_, first) => (Vec::new(), vec![first]),
    };
    operators.push(op);
    args.push(*right);
    Transformed::yes(ScalarUDF::from(Chain::new(operators, kind.clone())).call(args))
}

fn is_quotient(operator: Operator) -> bool {
    matches!(operator, Operator::Divide | Operator::Modulo)
}

/// The operators that a function of ours stands for.
fn chain(node: &Expr) -> Option<&Chain> {
    let Expr::ScalarFunction(function) = node else { return None };
    let inner: &dyn std::any::Any = function.func.inner().as_ref();
    inner.downcast_ref()
}

/// The type of an expression in which this rule has been, without asking our functions for the names of all that they are made of.
fn type_of(node: &Expr, schema: &DFSchema) -> Option<DataType> {
    match node {
        Expr::ScalarFunction(function) if function.func.name() == PLAIN => type_of(function.args.first()?, schema),
        Expr::ScalarFunction(_) => chain(node).map_or_else(|| node.get_type(schema).ok(), |chain| Some(chain.kind.clone())),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            BinaryTypeCoercer::new(&type_of(left, schema)?, op, &type_of(right, schema)?).get_result_type().ok()
        }
        _ => node.get_type(schema).ok(),
    }
}

fn is_arithmetic(operator: Operator) -> bool {
    matches!(operator, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

impl AnalyzerRule for ArithmeticAsSaid {
    fn name(&self) -> &'static str {
        "arithmetic_as_said"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan
            .transform_up_with_subqueries(|node| each_expression(node, |expression, schema| self.of_expression(expression, schema)))?
            .data)
    }
}

/// A number whose NaN has the bits of every other one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Plain {
    signature: Signature,
}

impl ScalarUDFImpl for Plain {
    fn name(&self) -> &'static str {
        PLAIN
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().map_or_else(|| exec_err!("nothing to make plain"), Ok)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let plain = |column: &ArrayRef| plain_floats::<Float64Type>(column).or_else(|| plain_floats::<Float32Type>(column));
        match arguments.args.into_iter().next() {
            Some(ColumnarValue::Array(column)) => Ok(ColumnarValue::Array(plain(&column).unwrap_or(column))),
            Some(ColumnarValue::Scalar(scalar)) => {
                let column = scalar.to_array()?;
                let plain = plain(&column).map(|column| datafusion::common::ScalarValue::try_from_array(&column, 0)).transpose()?;
                Ok(ColumnarValue::Scalar(plain.unwrap_or(scalar)))
            }
            None => exec_err!("nothing to make plain"),
        }
    }
}

/// Operators over integers of one type, worked off in their order, that fail where a result does not fit.
#[derive(Debug)]
struct Chain {
    /// What the operators are called, one after the other: columns that differ only in them have different names.
    name: String,
    operators: Vec<Operator>,
    kind: DataType,
    signature: Signature,
}

impl Chain {
    fn new(operators: Vec<Operator>, kind: DataType) -> Chain {
        let names: Vec<&str> = operators.iter().map(|operator| kernel(*operator).0).collect();
        Chain { name: names.join("_"), operators, kind, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl PartialEq for Chain {
    fn eq(&self, other: &Chain) -> bool {
        self.operators == other.operators && self.kind == other.kind
    }
}

impl Eq for Chain {}

impl Hash for Chain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.operators.hash(state);
    }
}

type ArithmeticKernel = fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, arrow::error::ArrowError>;

fn kernel(operator: Operator) -> (&'static str, ArithmeticKernel) {
    match operator {
        Operator::Plus => ("plus", numeric::add),
        Operator::Minus => ("minus", numeric::sub),
        Operator::Divide => ("by", numeric::div),
        Operator::Modulo => ("modulo", numeric::rem),
        _ => ("times", numeric::mul),
    }
}

impl ScalarUDFImpl for Chain {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut args = arguments.args.into_iter();
        let Some(first) = args.next() else { return exec_err!("{} takes integers", self.name) };
        self.operators.iter().zip(args).try_fold(first, |left, (operator, right)| worked_off(kernel(*operator).1, &left, &right))
    }
}

fn worked_off(work: ArithmeticKernel, left: &ColumnarValue, right: &ColumnarValue) -> Result<ColumnarValue> {
    let failed = |error: arrow::error::ArrowError| match error {
        arrow::error::ArrowError::ArithmeticOverflow(what) => {
            super::error::invalid(format!("{what}: the result does not fit; cast to DECIMAL(38, 0) or DOUBLE"))
        }
        other => other.into(),
    };
    let done = match (left, right) {
        (ColumnarValue::Array(left), ColumnarValue::Array(right)) => work(left, right),
        (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => work(left, &Scalar::new(right.to_array()?)),
        (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => work(&Scalar::new(left.to_array()?), right),
        (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
            let done = work(&left.to_array()?, &right.to_array()?).map_err(failed)?;
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&done, 0)?));
        }
    };
    done.map(ColumnarValue::Array).map_err(failed)
}
